"""Whom a cohort is of, who worked on it and where it lies stays at home: what docs/privacy.md says, searched for."""

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.end_to_end.planted import IDS, MARKS, found, marks_in

PAGE = Path(__file__).parents[2] / "docs/privacy.md"
STAYS = ("zqfreetext", "zqfolder", "zqrawroot", *IDS)  # may stand in tables that stay at home; all others nowhere
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("storage_location",),
}


def kept_at_home() -> list[str]:
    """Patterns of the page's list."""
    return re.search(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1].split()


@pytest.fixture(scope="module")
def marked(planted_run) -> dict[Path, set[str]]:
    """Every file that the runs left, with the marks that are in it."""
    folder = planted_run.project.folder
    own = [folder / "src", folder / "conf"]
    paths = [p for p in folder.rglob("*") if p.is_file() and not any(p.is_relative_to(place) for place in own)]
    return {path.relative_to(folder): marks_in(path) for path in sorted(paths)}


def test_the_marks_are_in_the_raw_files_and_are_found_there(planted_run):
    raw = planted_run.home.parent / "zqrawroot"
    there = set().union(*(marks_in(path) for path in raw.rglob("*") if path.is_file()))
    assert {mark for mark in MARKS if mark not in there} == {
        "zqrawroot",
        "zqfolder",
        "zquser",
        "zqhome",
        "zqmail",
        "zqproject",
    }


def test_what_may_leave_holds_no_id_no_path_and_no_name(marked):
    leaving = {path: marks for path, marks in marked.items() if not any(path.match(name) for name in kept_at_home())}
    for kind in (
        "report.html",
        "interactive.html",
        "MLmodel",
        "config.json",
        "*.onnx",
        "*.svg",
        "results.csv",
        "build/*",
    ):
        assert any(path.match(kind) for path in leaving), kind
    assert {str(path): marks for path, marks in leaving.items() if marks and path.name != "mlflow.db"} == {}


def test_what_stays_at_home_holds_ids_and_nothing_of_pictures_or_people(marked):
    kept = {path: marks for path, marks in marked.items() if any(path.match(name) for name in kept_at_home())}
    assert {
        str(path): marks - {*STAYS} for path, marks in kept.items() if marks - {*STAYS, "zqproject", "zqhome"}
    } == {}
    for pattern in kept_at_home():  # none is listed that isn't there
        assert any(path.match(pattern) for path in kept), pattern


def test_mlflows_database_says_where_its_own_artifacts_lie_and_nothing_else(planted_run, tmp_path):
    path = tmp_path / "mlflow.db"
    shutil.copy(planted_run.project.folder / "mlflow.db", path)
    home = (planted_run.project.folder / "mlruns").as_uri()
    with closing(sqlite3.connect(path)) as database, database:
        for table, columns in LOCATIONS.items():
            for column in columns:
                places = [row[0] for row in database.execute(f"SELECT {column} FROM {table}")]
                assert places and all(place.startswith(f"{home}/") for place in places)
                database.execute(f"UPDATE {table} SET {column} = ''")
        assert found("\n".join(database.iterdump()).encode()) == set()
        users = [row[0] for row in database.execute("SELECT user_id FROM runs")]
        assert users == ["not noted"]


def test_the_console_names_nobody_and_no_place_outside_the_project(planted_run):
    assert "pre-trained on, the same or nearly the same" in planted_run.said and "differ by case" in planted_run.said
    assert found(planted_run.said.encode()) == set()


def test_nothing_is_left_in_the_users_folder_but_what_was_asked_for(planted_run):
    for path in planted_run.home.rglob("*"):
        if path.is_file() and not path.is_relative_to(planted_run.home / "running"):
            assert not marks_in(path) & {*IDS, "zqfreetext"}, path
