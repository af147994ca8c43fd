"""Wrong settings and wrong cohorts are said with the file and line that set them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from slimp_pipeline.session.config_loader import CheckedConfigLoader
from slimp_pipeline.settings import CONFIG_LOADER_ARGS

Cohort = Callable[[str], str]
MINE = "conf/base/parameters/cohorts/mine.yml"


def load(conf: Path, env: str = "local", **runtime_params: Any) -> CheckedConfigLoader:
    return CheckedConfigLoader(str(conf), env, runtime_params=runtime_params, **CONFIG_LOADER_ARGS)


def refused(conf: Path, env: str = "local", **runtime_params: Any) -> str:
    with pytest.raises(ValueError) as error:
        load(conf, env, **runtime_params)["parameters"]
    return str(error.value)


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), start=1) if text in line)


def test_a_wrong_setting_is_named_with_the_place_that_won(conf: Path) -> None:
    (conf / "base/parameters_zzz.yml").write_text("report_2: {}\n")
    (conf / "test/parameters_zzz.yml").write_text("evaluation:\n  confidence: 3\n")
    words = refused(conf, "test", training={"device": "tpu"})
    assert "conf/test/parameters_zzz.yml, line 2" in words and "training.device: " in words and "(--params)" in words


def test_a_wrong_setting_of_base_is_named_with_its_line(conf: Path) -> None:
    path = conf / "base/parameters_features.yml"
    path.write_text(path.read_text().replace("num_folds: 5", "num_folds: 1"))
    line = line_of(path, "num_folds")
    assert f"(conf/base/parameters_features.yml, line {line})" in refused(conf)


def test_a_wrong_setting_that_a_file_takes_from_the_command_line_is_named_with_the_command_line(conf: Path) -> None:
    assert "not 'isic2025' (--params)" in refused(conf, challenge="isic2025")


def test_a_missing_block_is_named(conf: Path) -> None:
    (conf / "base/parameters_report.yml").unlink()
    assert "the block `report` is missing" in refused(conf)


def test_how_a_cohort_is_downloaded_is_checked_with_its_line(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(cohort("download: {files: [{url: 'ftp://a', to: ../b}]}"))
    words = refused(conf, cohort="mine")
    assert f"{MINE}, line 2: cohort mine: download.files.0.url: 'ftp://a' is no address" in words
    assert "download.files.0.to: '../b' must be a path below the cohort's folder" in words
    assert "download.collections.0: Input should be a valid integer" in refused(conf, download={"collections": "x"})


def test_of_all_cohorts_those_in_a_role_alone_are_parameters(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(cohort(""))
    loader = load(conf, target_cohort="mine")
    parameters = loader["parameters"]
    assert parameters["target"]["cohort"]["licence"] == "internal" and parameters["source"]["cohort"]["fields"]
    assert not parameters.keys() & {"mine", "demo_tbp", "demo_clinic", "slice3d"}
    assert loader["parameters"] == parameters  # as often as it is asked


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("lable: {column: dx}", "lable: there is no such key. Did you mean 'label'"),
        ("label: {column: dx, maligant: [a]}", "label.maligant: there is no such key. Did you mean 'malignant'"),
        ("title: 2019", "title: should be a text, not 2019: put it in quotes"),
        ("images: photos", "`images` is written with names, as in images: {sources: [photos]}"),
        ("fields: {a: {kind: numbers, level: patient, column: a}}", "fields.a.kind: Input should be 'numeric', "),
        ("fields: {a: {kind: numeric, column: a}}", "fields.a.level: is missing"),
        ("fields: {a: {kind: numeric, level: patient, column: a, minimum: '0,5'}}", "not '0,5'"),
        ("fields: {a: {kind: numeric, level: patient, column: biopsy}}", "which leaks the label"),
    ],
)
def test_a_wrong_description_of_a_cohort_is_named_with_file_and_line(
    conf: Path, cohort: Cohort, changed: str, words: str
) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(cohort(changed))
    said = refused(conf, target_cohort="mine")
    assert said.startswith(f"{MINE}, line ") and words in said and "pydantic" not in said
    assert f"{MINE}, line {1 if words.endswith('leaks the label') else 2}: " in said


def test_what_a_cohort_lacks_is_named_with_the_file_of_the_cohort(conf: Path, cohort: Cohort) -> None:
    text = cohort("").replace("  licence: internal\n", "")
    (conf / "base/parameters/cohorts/mine.yml").write_text(text)
    assert refused(conf, target_cohort="mine") == f"{MINE}, line 1: cohort mine: licence: is missing"


def test_what_an_environment_changes_in_a_cohort_is_named_with_the_environments_file(conf: Path) -> None:
    (conf / "local/parameters.yml").write_text("target:\n  cohort:\n    foldr: x\n")
    assert refused(conf).startswith(
        "conf/local/parameters.yml, line 3: cohort demo_clinic: foldr: there is no such key"
    )


def test_a_role_that_is_given_a_cohorts_name_says_how_it_is_given(conf: Path) -> None:
    words = refused(conf, source={"cohort": "pad_ufes_20"})
    assert "which one it is, is said by source_cohort (--params)" in words


def test_a_reference_that_leads_nowhere_is_named_with_file_and_line(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(cohort('label: "${pad_ufes_20.labels}"'))
    words = refused(conf)
    assert words.startswith(f"{MINE}, line 2: mine.label: ") and "'pad_ufes_20.labels' not found" in words


def test_parameters_are_merged_once_and_nobody_gets_anothers_copy(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = load(conf, "test")
    first = loader["parameters"]
    first["training"]["seed"] = "changed"
    monkeypatch.setattr(OmegaConf, "load", lambda *_: pytest.fail("read again"))
    assert loader["parameters"]["training"]["seed"] == 0


def test_several_source_cohorts_are_described_each_for_itself_and_changed_one_by_one(conf: Path) -> None:
    members: dict[str, Any] = {"demo_clinic": {"fields": {"diameter_mm": {"scale": 10.0}}}}
    roles: dict[str, Any] = {"source_cohort": ["demo_tbp", "demo_clinic"], "source": {"cohort": {"members": members}}}
    (conf / "local/parameters.yml").write_text(
        "source: {cohort: {members: {demo_tbp: {fabricated: {num_patients: 3}}}}}"
    )
    source = load(conf, **roles)["parameters"]["source"]["cohort"]
    assert source["name"] == "demo_tbp+demo_clinic" and list(source["members"]) == ["demo_tbp", "demo_clinic"]
    clinic, tbp = source["members"]["demo_clinic"], source["members"]["demo_tbp"]
    assert clinic["fields"]["diameter_mm"]["scale"] == 10.0 and clinic["fields"]["diameter_mm"]["kind"] == "numeric"
    assert tbp["fabricated"]["num_patients"] == 3 and tbp["fabricated"]["layout"] == "tbp"
    members["demo_clinic"] = {"foldr": "x"}
    assert "fields" not in refused(conf, **roles) and "there is no such key" in refused(conf, **roles)


def test_several_cohorts_of_a_globals_file_are_one_name_in_every_path(conf: Path) -> None:
    (conf / "local/globals.yml").write_text("source_cohort: [demo_tbp, demo_clinic]\n")
    catalog = load(conf)["catalog"]
    assert "demo_tbp+demo_clinic/encoders" in catalog["encoders"]["filepath"]
    (conf / "local/globals.yml").write_text("source_cohort: [demo_tbp, demo_clinik]\n")
    assert refused(conf).startswith("conf/local/globals.yml, line 1: there is no cohort 'demo_clinik'.")


def test_a_misspelt_setting_is_told_what_may_be_meant(conf: Path) -> None:
    assert "prune.kep: there is no such setting. Did you mean 'keep'? (--params)" in refused(conf, prune={"kep": 3})
    nested = refused(conf, training={"loss": {"lesion_wieght": 0.2}})
    assert "training.loss.lesion_wieght: there is no such setting. Did you mean 'lesion_weight'" in nested
    assert "training.qqq: there is no such setting (--params)" in refused(conf, training={"qqq": 1})
