"""Slips in the YAML of `conf/` are refused with file, line and remedy, whatever Kedro would have made of them."""

import os
import shutil
import time
from pathlib import Path

import pytest

from slimp_pipeline.configuration.check import CheckedConfiguration
from slimp_pipeline.configuration.files import read_files

REPOSITORY = Path(__file__).parents[2]
MINE = "conf/base/parameters/cohorts/mine.yml"
HEAD = "mine:\n  name: mine\n"  # what follows starts in line 3

SYNTAX = [
    (HEAD + "  title: My clinic: 2019-2024\n", 3, 'quote it, title: "My clinic: 2019-2024"'),
    (HEAD + '  title: The "old" clinic: 2019  # comment\n', 3, "quote it, title: 'The \"old\" clinic: 2019'"),
    (HEAD + "  leaks:\n    biopsy: known: afterwards\n", 4, 'quote it, biopsy: "known: afterwards"'),
    (HEAD + "  missing: [a: b: c]\n", 3, "a text with a colon needs quotes"),
    (HEAD + "  title: x\n    folder: y\n", 4, "wrong indentation"),
    (HEAD + "  title: x\n folder: y\n", 4, "wrong indentation"),
    (HEAD + "  fields:\n    a: {}\n   b: {}\n", 5, "wrong indentation"),
    (" mine:\n  name: x\nother: y\n", 3, "wrong indentation"),
    (HEAD + "  title: x\n\tfolder: y\n", 4, "a tab as indentation: YAML takes spaces only"),
    (HEAD + "  fields:\n  \ta: {}\n", 4, "a tab as indentation"),
    ("mine:\n\u00a0\u00a0name: mine\n  title: x\n", 2, "a special space"),
    (HEAD + '  folder: "C:\\data"\n', 3, "single quotes or /"),
    (HEAD + '  folder: "C:\\users"\n', 3, "single quotes or /"),
    (HEAD + '  title: "My clinic\n  folder: y\n', 3, "a quote is opened in this line and never closed"),
    (HEAD + "  title: 'My clinic\n  folder: y\n", 3, "a quote is opened in this line and never closed"),
    (HEAD + '  title: "My clinic\n  folder: "y"\n', 3, "a quote is opened in this line and not closed"),
    (HEAD + "  title: 'It's mine'\n", 3, "An apostrophe in it: use double quotes"),
    (HEAD + '  title: "the "old" one"\n', 3, "use single quotes"),
    (HEAD + "  missing: [a, b\n  folder: y\n", 3, "a bracket is opened in this line and not closed"),
    (HEAD + "  missing: [a, Patient #, b]\n  folder: y\n", 3, "` #` starts a comment"),
    (HEAD + "  label: {column: x\n  folder: y\n", 3, "a bracket is opened in this line and not closed"),
    (HEAD + "  label: {column: x malignant: [a]}\n", 3, "a comma is missing"),
    (HEAD + '  missing: ["a" "b"]\n', 3, 'a comma is missing before `"b"]`'),
    (HEAD + "  missing: [a]]\n", 3, "`]` closes a bracket that isn't open"),
    (HEAD + "  label: {column: x]\n", 3, "`]` closes a bracket of the other kind"),
    (HEAD + "  label: {a: ${x.y}}\n", 3, 'an interpolation needs quotes: "${...}"'),
    (HEAD + "  title: %age\n", 3, "may not start with `%`: put the text in quotes"),
    (HEAD + "  title: @home\n", 3, "may not start with `@`"),
    (HEAD + "  title: **bold**\n", 3, "may not start with `*`"),
    (HEAD + "  title: *bold\n", 3, "`*` refers to an anchor"),
    (HEAD + "  title: & Co\n", 3, "may not start with `&`"),
    (HEAD + "  title: &Co clinic\n", 3, "`&Co` is left out of the text"),
    (HEAD + "  title: !important x\n", 3, "`!important`: tags aren't read"),
    (HEAD + "  title: ! x\n", 3, "`!` is left out of the text"),
    (HEAD + "  title: > 50 mm\n", 3, "may not start with `>`"),
    (HEAD + "  missing: [>50]\n", 3, "may not start with `>`"),
    (HEAD + "  missing: [=]\n", 3, "`=` alone has a meaning of its own in YAML: put it in quotes"),
    (HEAD + "  missing: - a\n", 3, "a list may not start behind `name:`"),
    (HEAD + "  loader: !!python/object:os.system {}\n", 3, "`!!python/object:os.system`: tags aren't read"),
    (HEAD + "---\nother: x\n", 3, "a second document"),
    (HEAD + "  name: other\n", 3, "`name` stands twice, in lines 2 and 3"),
    (HEAD + "  rename: {1: a, 1: b}\n", 3, "`1` stands twice, in lines 3 and 3"),
    (HEAD + "  label: {[a]: b}\n", 3, "a name may not be a list"),
    (HEAD + "  label: {column:dx, missing: [a]}\n", 3, "a space is missing after the colon: column: dx"),
    ("mine:\n  name:mine\n  title: x\n", 2, "a space is missing after the colon: name: mine"),
    (HEAD + "  folder y\n", 3, "a colon is missing"),
    (HEAD + "  \u00a0title: x\n", 3, "a special space"),
    (HEAD + "  title\u00a0: x\n", 3, "the name `title` holds a special space"),
    ("just a text\n", 1, "has no names"),
    ("- a\n- b\n", 1, "has no names"),
    (HEAD + "  title: a\x00b\n", 3, "a character that is no text"),
]


@pytest.mark.parametrize(("text", "line", "words"), SYNTAX)
def test_a_slip_is_named_with_file_line_and_remedy(empty_conf: Path, text: str, line: int, words: str) -> None:
    (empty_conf / "base/parameters/cohorts/mine.yml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as refused:
        read_files(empty_conf, "local")
    assert str(refused.value).startswith(f"{MINE}, line {line}: ")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("mine:\n  title: Universität\n".encode("latin-1"), "line 2: isn't UTF-8"),
        ("mine:\n  title: x\n".encode("utf-16"), ": is written in UTF-16: save it as UTF-8"),
        ("mine:\n  title: x\n".encode("utf-16-be"), ": is written in UTF-16: save it as UTF-8"),
        (b"", ": is empty"),
        (b"\n \n", ": is empty"),
        (b"# a comment\n", ": is empty"),
    ],
)
def test_a_file_that_holds_no_text_is_refused(empty_conf: Path, content: bytes, words: str) -> None:
    (empty_conf / "base/parameters/cohorts/mine.yml").write_bytes(content)
    with pytest.raises(ValueError) as refused:
        read_files(empty_conf, "local")
    assert str(refused.value).startswith(MINE) and words in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffmine:\n  name: mine\n",  # as Windows' editors write it
        "mine:\r\n  name: mine\r\n",
        "---\nmine: {name: mine}\n...\n",
        "mine:\n  fields: &fields\n    a: {column: b}\nother:\n  fields: *fields\n",
        "base: &base {a: 1}\nmine:\n  <<: *base\n  a: 2\n",
        'mine: {label: "${other.label}", folder: C:\\data, title: Köln & Bonn}\n',
        '{"mine": {"name": "mine"}}\n',
    ],
)
def test_what_yaml_reads_as_it_was_meant_is_taken(empty_conf: Path, text: str) -> None:
    (empty_conf / "base/parameters/cohorts/mine.yml").write_text(text, encoding="utf-8", newline="")
    assert [file.name for file in read_files(empty_conf, "local")] == [MINE]


def test_comments_alone_are_fine_outside_of_the_cohorts(empty_conf: Path) -> None:
    (empty_conf / "local/credentials.yml").write_text("# none yet\n")
    assert read_files(empty_conf, "local") == []


def test_the_slips_of_all_files_are_said_at_once(empty_conf: Path) -> None:
    (empty_conf / "base/catalog_mine.yml").write_text("results: {type: x\n")
    (empty_conf / "local/mlflow.yml").write_text("a: 1\na: 2\n")
    (empty_conf / "logging.yml").write_text("version: 1\nversion: 1\n")
    with pytest.raises(ValueError) as refused:
        read_files(empty_conf, "local")
    for place in ("conf/base/catalog_mine.yml, line 1", "conf/local/mlflow.yml, line 2", "conf/logging.yml, line 2"):
        assert place in str(refused.value)


def test_a_link_that_leads_nowhere_is_named(empty_conf: Path) -> None:
    (empty_conf / "base/parameters/cohorts/mine.yml").symlink_to("/nowhere/mine.yml")
    with pytest.raises(ValueError, match=rf"{MINE}: is a link to /nowhere/mine.yml, which isn't there"):
        read_files(empty_conf, "local")


def test_a_file_without_the_right_to_read_it_is_named(empty_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_conf / "base/parameters/cohorts/mine.yml").write_text("a: 1")
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ValueError, match=rf"{MINE}: can't be read \(Permission denied\): check its permissions"):
        read_files(empty_conf, "local")


def test_hidden_and_other_files_are_left_alone(empty_conf: Path) -> None:
    for name in ("local/.hidden.yml", "local/notes.txt", "base/.ipynb_checkpoints/a.yml"):
        (empty_conf / name).parent.mkdir(exist_ok=True)
        (empty_conf / name).write_text("a: [")
    assert read_files(empty_conf, "local") == []


@pytest.mark.parametrize(
    "env", ["local", *sorted(path.name for path in (REPOSITORY / "conf").iterdir() if path.is_dir())]
)
def test_the_shipped_configuration_has_no_slips(env: str, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    CheckedConfiguration(tmp_path / "conf", env, {})


def test_all_checks_of_the_shipped_files_together_take_less_than_a_tenth_of_a_second() -> None:
    taken = []
    for _ in range(5):
        started = time.process_time()
        CheckedConfiguration(REPOSITORY / "conf", "test", {})
        taken.append(time.process_time() - started)
    assert min(taken) < 0.1, os.getloadavg()
