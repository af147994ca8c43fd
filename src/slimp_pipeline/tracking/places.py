"""Where artifacts are, by MLflow's database: it keeps absolute paths, which a moved or copied project leaves behind."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slimp_pipeline.tracking.database import opened

_LOCATED = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def bring_home(database: Path, artifacts: Path) -> None:
    """Let experiments, runs and models that were beside this database at another place be found beside it.

    What lies where the database says, and not here, stays where it is; new runs go here in any case.

    Args:
        database: MLflow's database.
        artifacts: Folder of the artifacts beside it, `mlruns`.
    """
    with closing(opened(database)) as connection, connection:
        left = set()
        experiments = connection.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
        for number, location in experiments:
            there = _path(location)
            if there and there.parent.name == artifacts.name and there.parent != artifacts:
                here = ((artifacts / there.name).as_uri(), number)
                connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", here)
                left.add(there.parent)
        for old in left:
            for table, column in _LOCATED:
                _move(connection, table, column, old, artifacts)


def _move(connection: sqlite3.Connection, table: str, column: str, old: Path, new: Path) -> None:
    for row, location in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
        there = _path(location)
        if there and there.is_relative_to(old):
            here = new / there.relative_to(old)
            if here.exists() or not there.exists():
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (here.as_uri(), row))


def _path(location: str | None) -> Path | None:
    """A local path, absolute; None of anything else."""
    if location and location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return Path(location) if location and location.startswith("/") else None
