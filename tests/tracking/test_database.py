"""MLflow's SQLite database."""

import os
import shlex
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from alembic.script import ScriptDirectory
from mlflow.store import db_migrations
from sqlalchemy import create_engine, text

from slimp_pipeline.tracking import database as databases
from slimp_pipeline.tracking.database import create_database, is_there, require_usable


def set_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_a_database_of_this_mlflow_is_usable(database):
    require_usable(database())


def test_one_of_an_older_mlflow_is_refused_with_the_command_that_mends_it(database):
    path = database("my project")
    known = ScriptDirectory(db_migrations.__path__[0])
    set_revision(path, known.get_revision(known.get_current_head()).down_revision)
    with pytest.raises(ValueError, match="of an older MLflow than this one") as refused:
        require_usable(path)
    command = str(refused.value).rsplit(": ", 1)[1]
    assert shlex.split(command) == ["mlflow", "db", "upgrade", f"sqlite:///{path}"]


def test_one_of_a_newer_mlflow_is_refused_and_says_what_it_needs(database):
    path = database()
    set_revision(path, "ffffffffffff")
    with pytest.raises(ValueError, match=r"of a newer MLflow than this one .*pip install --upgrade mlflow"):
        require_usable(path)


def test_a_file_that_is_no_database_or_a_part_of_one_is_said_to_be_damaged(database):
    path = database()
    whole = path.read_bytes()
    for content in (b"no database at all" * 100, whole[: len(whole) // 2], whole[:100] + b"\xff" * 4000 + whole[4100:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is damaged\..*Put a whole copy in its place, or move it away"):
            require_usable(path)


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(ValueError, match="no database of MLflow's"):
        require_usable(path)


@pytest.mark.parametrize("unwritable", ["mlflow.db", "."])
def test_what_cant_be_written_is_said_before_anything_runs(database, monkeypatch, unwritable):
    path = database()
    denied = (path.parent / unwritable).resolve()
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != denied)  # the administrator may do all
    with pytest.raises(PermissionError, match=r"can't be read and written: .*MLFLOW_TRACKING_URI=sqlite"):
        require_usable(path)
    path.unlink()
    if unwritable == ".":
        with pytest.raises(PermissionError, match="can't be read and written"):
            create_database(path, path.parent / "mlruns")


def test_a_database_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(databases, "SqlAlchemyStore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_database(tmp_path / "mlflow.db", tmp_path / "mlruns")
    assert not list(tmp_path.iterdir())


def test_an_empty_file_counts_as_none(tmp_path):
    (tmp_path / "mlflow.db").touch()
    assert not is_there(tmp_path / "mlflow.db") and not is_there(tmp_path / "other.db")


def test_a_run_waits_longer_for_anothers_writing_than_mlflow_would(database):
    engine = create_engine(f"sqlite:///{database()}")
    with engine.connect() as connection:
        connection.execute(text("PRAGMA busy_timeout = 20000;"))
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 1000 * databases._PATIENCE_S > 20000
    engine.dispose()


def test_logging_while_another_writes_ends_no_run(database):
    path = database()
    client = mlflow.MlflowClient(f"sqlite:///{path}")
    run = client.create_run(client.create_experiment("mine", str(path.parent / "mlruns/1"))).info.run_id
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(1.5, other.rollback).start()
        began = time.monotonic()
        client.log_metric(run, "loss", 1.0)
        assert time.monotonic() - began > 1
    assert client.get_run(run).data.metrics == {"loss": 1.0}
