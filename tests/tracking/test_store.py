"""The address of MLflow's store."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from slimp_pipeline.processes.home import at_home
from slimp_pipeline.tracking.store import Store, sqlite_uri

PROJECT = Path("/home/me/project")


@pytest.mark.parametrize(
    ("uri", "expected", "database"),
    [
        (None, "sqlite:////home/me/project/mlflow.db", "/home/me/project/mlflow.db"),
        ("", "sqlite:////home/me/project/mlflow.db", "/home/me/project/mlflow.db"),
        ("sqlite:///runs/all.db", "sqlite:////home/me/project/runs/all.db", "/home/me/project/runs/all.db"),
        ("sqlite:///../all.db", "sqlite:////home/me/all.db", "/home/me/all.db"),
        ("sqlite:////data/all.db", "sqlite:////data/all.db", "/data/all.db"),
        ("sqlite://", "sqlite://", None),
        ("http://tracking:5000", "http://tracking:5000", None),
        ("postgresql://me:secret@host/runs", "postgresql://me:secret@host/runs", None),
        ("databricks", "databricks", None),
    ],
)
def test_a_relative_address_is_relative_to_the_project(uri, expected, database):
    store = Store.named(uri, PROJECT)
    assert store.uri == expected
    assert store.database == (Path(database) if database else None)
    assert store.artifacts == (Path(database).parent / "mlruns" if database else None)


def test_what_is_no_address_is_refused():
    with pytest.raises(
        ValueError, match=r"'sqlite' is no address of an MLflow store\. An example: sqlite:///mlflow.db"
    ):
        Store.named("sqlite", PROJECT)


@pytest.mark.parametrize("folder", ["plain", "100% of it", "why?", "a#b", "Hautläsionen ä", "50%25", "a&b=c;d"])
@pytest.mark.parametrize("inside", [True, False])
def test_an_address_leads_to_its_file_whatever_the_folder_is_called(tmp_path, monkeypatch, folder, inside):
    database = tmp_path / folder / "mlflow.db"
    database.parent.mkdir()
    monkeypatch.chdir(database.parent if inside else tmp_path)
    uri = sqlite_uri(database)
    assert Store.named(uri, Path.cwd()).database == database
    engine = create_engine(uri)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE found (x)"))
    engine.dispose()
    assert sqlite3.connect(database).execute("SELECT name FROM sqlite_master").fetchall() == [("found",)]


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        (None, "mlflow ui --backend-store-uri sqlite:///mlflow.db"),
        ("sqlite:////data/my runs.db", "mlflow ui --backend-store-uri 'sqlite:////data/my runs.db'"),
        ("sqlite:////data/100%25.db", "mlflow ui --backend-store-uri sqlite:////data/100%25.db"),
        ("http://me:secret@tracking:5000", "http://me:***@tracking:5000"),
        ("postgresql://me:secret@host/runs", "mlflow ui --backend-store-uri 'postgresql://me:***@host/runs'"),
    ],
)
def test_the_hint_names_the_store_in_use_and_no_password(tmp_path, monkeypatch, uri, hint):
    monkeypatch.chdir(tmp_path)
    assert Store.named(uri, tmp_path).how_to_look() == hint


def test_the_hint_can_be_typed_where_the_run_was_called(tmp_path, monkeypatch):
    (tmp_path / "project/notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project/notebooks")
    with at_home(tmp_path / "project"):
        hint = Store.named(None, tmp_path / "project").how_to_look()
    assert hint == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/project/mlflow.db"
