"""Whose a cohort is, who worked on it, where it lies: what docs/hand_over/privacy.md says of that, searched for."""

import base64
import gzip
import io
import pickle
import re
import shutil
import sqlite3
import zipfile
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from planted import IDS, MARKS, PLACES, found, is_pickled, marks_in

PAGE = Path(__file__).parents[2] / "docs/hand_over/privacy.md"
STAYS = ("zqfreetext", "zqfolder", "zqrawroot", *IDS)  # may stand in tables that stay at home; all others nowhere
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("storage_location",),
}
KEPT = re.search(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1].split()


def stays_at_home(path: Path) -> bool:
    """Whether a file is one of the page's list."""
    return any(fnmatch(str(path), pattern) for pattern in KEPT)


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
    assert set(MARKS) - there == {*PLACES} - {"zqfolder"}


def test_what_may_leave_holds_no_id_no_path_and_no_name(marked):
    leaving = {path: marks for path, marks in marked.items() if not stays_at_home(path)}
    for kind in (
        "*/report.html", "*/interactive.html", "mlruns/*/MLmodel", "*/config.json", "*.onnx", "*/results.csv",
        "*_figure.json", "*/contact_sheet.png", "build/api/*", ".viz/*", "*/embedding_summary.json",
        "*/exported_model/*/known_lesions.json",
    ):  # fmt: skip
        assert any(fnmatch(str(path), kind) for path in leaving), kind
    assert {str(path): marks for path, marks in leaving.items() if marks and path.name != "mlflow.db"} == {}


def test_what_stays_at_home_holds_ids_and_nothing_of_pictures_or_people(marked):
    kept = {path: marks for path, marks in marked.items() if stays_at_home(path)}
    allowed = {*STAYS, "zqproject", "zqhome"}  # paths: of a lock's holder, of first weights
    assert {str(path): marks - allowed for path, marks in kept.items() if marks - allowed} == {}
    for pattern in KEPT:  # none is listed that isn't there
        assert any(fnmatch(str(path), pattern) for path in kept), pattern


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


def test_nothing_that_a_run_leaves_is_a_pickle(planted_run):
    folder = planted_run.project.folder
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "src")]
    assert len(files) > 300
    assert [str(path.relative_to(folder)) for path in files if is_pickled(path)] == []


def test_pickles_are_found_whatever_they_are_called_and_packed_in(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # as torch.save writes
        archive.writestr("model/data.pkl", pickle.dumps({"a": 1}))
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    inner = base64.b64encode(pickle.dumps({"a": list(range(20))}))
    texts = {"a": pickle.dumps({"a": 1}), "b.zip": packed.getvalue(), "c.json": b'{"model": "%s"}' % inner}
    texts |= {"d": pickle.dumps({"a": 1}, protocol=2), "e": objects.getvalue(), "f": gzip.compress(pickle.dumps([1]))}
    for name, content in (texts | {"x.pt": b"", "y.npy": b"", "good.json": b"{}"}).items():
        (tmp_path / name).write_bytes(content)
    assert {path.name for path in tmp_path.iterdir() if is_pickled(path)} == {*texts, "x.pt", "y.npy"}
