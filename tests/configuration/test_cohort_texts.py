"""Texts of a cohort that YAML would turn into something else are refused; those that Python gives back are taken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slimp_pipeline.configuration.check import CheckedConfiguration

MINE = "conf/base/parameters/cohorts/mine.yml"
Cohort = Callable[[str], str]

CHANGED = [
    ("label: {column: dx, classes: {yes: malignant, n: benign}}", 'YAML reads yes as True: put it in quotes, "yes"'),
    ("label: {column: dx, classes: {a: no}}", 'YAML reads no as False: put it in quotes, "no"'),
    ("label: {column: dx, malignant: [on]}", "`malignant`: YAML reads on as True"),
    ("label: {column: dx, indeterminate: [Off]}", "`indeterminate`: YAML reads Off as False"),
    ("label: {column: dx, missing: [~]}", "`missing`: ~ without quotes is nothing to YAML"),
    ("label: {column: 007}", "`column`: YAML reads 007 as 7"),
    ("label: {one_hot: [1_000, b]}", "`one_hot`: YAML reads 1_000 as 1000"),
    ("image_id: 1:30", "`image_id`: YAML reads 1:30 as 90"),
    ("lesion_id: [0x1F]", "`lesion_id`: YAML reads 0x1F as 31"),
    ("patient_id: 1e3", "`patient_id`: YAML reads 1e3 as 1000.0"),
    ("patient_id: clinic, patient", "square brackets: patient_id: [clinic, patient]"),
    ("optional: [yes]", "`optional`: YAML reads yes as True"),
    ("ignored: [null]", "`ignored`: null without quotes is nothing"),
    ("ignored: [1.10]", "`ignored`: YAML reads 1.10 as 1.1"),
    ("leaks: {no: it is the label}", "`leaks`: YAML reads no as False"),
    ("leaks: {biopsy: }", "`leaks`: a text is missing here"),
    ("tables: [{file: 01}]", "`file`: YAML reads 01 as 1"),
    ("tables: [{file: a.csv, rename: {+1: b}}]", "`rename`: YAML reads +1 as 1"),
    ("images: {sources: [yes]}", "`sources`: YAML reads yes as True"),
    ("images: {sources: [a], suffixes: [.5]}", "`suffixes`: YAML reads .5 as 0.5"),
    ("title: yes", "`title`: YAML reads yes as True"),
    ("fields: {on: {kind: numeric, level: patient, column: a}}", "`fields`: YAML reads on as True"),
]
IN_A_FIELD = [
    ("categories: [true, false]", 'YAML reads true as True: put it in quotes, "true"'),
    ("categories: [clinical: close-up, dermoscopic]", "`clinical: close-up` is none: quote it"),
    ("categories: [a, [b]]", "`categories` lists texts"),
    ("categories: {f: female}", "`categories` is a list, in square brackets"),
    ("categories: f, m", "`m` stands alone among names: a list is written in square brackets"),
    ("categories: [a,\n      b\n      c]", "two lines are read as one text"),
    ("categories: [“f”, “m”]", "typographic quotes"),
    ("rename: {a: null}", "list the other text under `missing`"),
    ("rename: [a, b]", "`rename` is written with names, as in rename: {text of the table: what it is called here}"),
    ("rename: {a: {b: c}}", "`b: c` is none: quote it"),
    ("options: [a]", "options: {option: column}"),
]
TAKEN = [
    'label: {column: dx, classes: {"yes": malignant, "no": benign}}',
    "label: {column: dx, classes: {True: malignant, False: benign, 1: malignant, 1.0: malignant, None: benign}}",
    "label: {column: dx, missing: [y, n, NaN, 2019-01-01, -1, 08]}",
    "label: {column: null, one_hot: [a, b], classes: }",
    "malignant_first: 007",
    'label: "${pad_ufes_20.label}"',
    "images: ${pad_ufes_20.images}",
    'tables: [{file: "a, b.csv", separator: "\\t", join_on: null}]',
    "folder: 'C:\\new'",
    "folder: C:\\new",
    "open_licence: yes",
    "title: |\n    two\n    lines",
    "lesion_id:\n    - patient\n    - lesion",
]


def slips(conf: Path, text: str) -> str:
    (conf / "base/parameters/cohorts/mine.yml").write_text(text, encoding="utf-8")
    try:
        CheckedConfiguration(conf, "local", {})
    except ValueError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(("changed", "words"), CHANGED)
def test_a_text_that_yaml_changes_is_refused_with_file_and_line(
    conf: Path, cohort: Cohort, changed: str, words: str
) -> None:
    refused = slips(conf, cohort(changed))
    assert f"{MINE}, line 2: " in refused and words in refused


@pytest.mark.parametrize(("changed", "words"), IN_A_FIELD)
def test_a_text_of_a_field_that_yaml_changes_is_refused(conf: Path, cohort: Cohort, changed: str, words: str) -> None:
    text = f"fields:\n    sex: {{kind: categorical, level: patient, column: sex,\n     {changed}}}"
    refused = slips(conf, cohort(text))
    assert f"{MINE}, line " in refused and words in refused


@pytest.mark.parametrize(("written", "read"), [("maximum: 0120", "80"), ("scale: 1:10", "70"), ("scale: 1_0", None)])
def test_a_number_that_yaml_reads_as_another_is_refused(conf: Path, cohort: Cohort, written: str, read: str) -> None:
    refused = slips(conf, cohort(f"fields:\n    age: {{kind: numeric, level: patient, column: age, {written}}}"))
    assert bool(refused) == bool(read) and (not read or f"as {read}: write the number in plain digits" in refused)


@pytest.mark.parametrize("path", ['folder: "C:\\new"', 'folder: "D:\\Patients"', 'images: {sources: ["C:\\temp"]}'])
def test_a_backslash_that_double_quotes_swallow_is_found_in_paths(conf: Path, cohort: Cohort, path: str) -> None:
    assert "in double quotes a backslash starts a special character" in slips(conf, cohort(path))


@pytest.mark.parametrize("changed", TAKEN)
def test_what_yaml_gives_back_as_it_was_written_is_taken(conf: Path, cohort: Cohort, changed: str) -> None:
    assert slips(conf, cohort(changed)) == ""


def test_what_an_environment_changes_in_a_cohort_is_checked_too(conf: Path) -> None:
    (conf / "local/parameters.yml").write_text("target: {cohort: {label: {missing: [no]}}}\n")
    with pytest.raises(ValueError, match=r"conf/local/parameters.yml, line 1: `missing`: YAML reads no as False"):
        CheckedConfiguration(conf, "local", {})


def test_a_slip_in_an_alias_is_said_once(conf: Path, cohort: Cohort) -> None:
    text = cohort("leaks: &leaks {no: it is the label}") + cohort("leaks: *leaks").replace("mine", "other")
    assert slips(conf, text).count("\n") == 0 != len(slips(conf, text))
