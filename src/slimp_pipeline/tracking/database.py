"""MLflow's SQLite database: what keeps it from being used is said before MLflow meets it, and retries."""

import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
from alembic.script import ScriptDirectory
from mlflow.store import db_migrations
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event
from sqlalchemy.engine import Engine

from slimp_pipeline.processes.whole import appearing_whole
from slimp_pipeline.tracking.store import sqlite_uri

_PATIENCE_S = 120
_ELSEWHERE = "Or name another store: MLFLOW_TRACKING_URI=sqlite:////another/folder/mlflow.db"


def is_there(database: Path) -> bool:
    """Whether a database holds anything."""
    return database.exists() and database.stat().st_size > 0


def create_database(database: Path, artifacts: Path) -> None:
    """Make MLflow's database; one that is killed meanwhile leaves none, since MLflow can't mend half of one.

    Raises:
        PermissionError: If its folder can't be written.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    _require_writable(database.parent, database)
    with appearing_whole(database) as temporary:
        SqlAlchemyStore(sqlite_uri(temporary), artifacts.as_uri()).engine.dispose()


def require_usable(database: Path) -> None:
    """Look whether this MLflow can use a database.

    Raises:
        OSError: If it or its folder can't be read or written.
        ValueError: If it is damaged, or of an older or newer MLflow; says what mends it.
    """
    for path in (database, database.parent):
        _require_writable(path, database)
    try:
        with closing(opened(database)) as connection:
            health = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            revision = _revision(connection)
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.OperationalError as error:
        raise OSError(f"{database}: {error}. MLflow notes every run there. {_ELSEWHERE}") from error
    except sqlite3.DatabaseError as error:
        health, revision = str(error), ""
    if health != "ok":
        raise ValueError(
            f"{database}, in which MLflow notes every run, is damaged. Put a whole copy in its place, or move it away: "
            "a new one is made. Artifacts under data/ don't depend on it."
        )
    _require_revision(database, revision)


def opened(database: Path) -> sqlite3.Connection:
    """A connection to a database that is there, which waits as long as MLflow's do."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE_S)


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _wait_for_others(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
    """MLflow waits 20 s for another run's writing, then fails; on a slow disk that ends a run of hours."""
    if statement.startswith("PRAGMA busy_timeout"):
        statement = f"PRAGMA busy_timeout = {1000 * _PATIENCE_S};"
    return statement, parameters


def _require_writable(path: Path, database: Path) -> None:
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(
            f"{path} can't be read and written: MLflow notes every run in {database}. Give yourself the right to. "
            f"{_ELSEWHERE}"
        )


def _revision(connection: sqlite3.Connection) -> str:
    """Revision of the tables; empty where MLflow made none of them, or not all."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _require_revision(database: Path, revision: str) -> None:
    known = ScriptDirectory(str(Path(db_migrations.__path__[0])))
    if revision == known.get_current_head():
        return
    if not revision:
        raise ValueError(f"{database} is no database of MLflow's. Move it away: one is made. {_ELSEWHERE}")
    if revision in {script.revision for script in known.walk_revisions()}:
        raise ValueError(
            f"{database} is of an older MLflow than this one ({mlflow.__version__}). Keep a copy of it, then bring it "
            f"up to date: mlflow db upgrade {shlex.quote(sqlite_uri(database))}"
        )
    raise ValueError(
        f"{database} is of a newer MLflow than this one ({mlflow.__version__}), which can't read it: install a newer "
        f"MLflow (pip install --upgrade mlflow), or move the file away: a new one is made. {_ELSEWHERE}"
    )
