"""Where MLflow keeps its runs: the address by which a run, and a person, finds the store."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from slimp_pipeline.processes.home import shown

DEFAULT = "sqlite:///mlflow.db"


@dataclass(frozen=True)
class Store:
    """A store.

    Args:
        uri: Its address, absolute.
        database: The file of an SQLite store; None of any other.
    """

    uri: str
    database: Path | None = None

    @classmethod
    def named(cls, uri: str | None, project: Path) -> "Store":
        """The store of an address; a relative one is relative to the project.

        Raises:
            ValueError: If it is no address.
        """
        if not (uri or DEFAULT).startswith("sqlite"):
            return cls(str(uri))
        try:
            url = make_url(uri or DEFAULT)
        except ArgumentError as error:
            raise ValueError(f"'{uri}' is no address of an MLflow store. An example: {DEFAULT}") from error
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            return cls(str(uri))
        database = Path(os.path.normpath(project / url.database))
        return cls(sqlite_uri(database), database)

    @property
    def artifacts(self) -> Path | None:
        """Folder of the artifacts, beside an SQLite store; None where MLflow knows better."""
        return self.database.parent / "mlruns" if self.database else None

    def how_to_look(self) -> str:
        """What to type, or where to look, to see the runs; without passwords."""
        if self.uri.startswith("http"):
            return without_password(self.uri)
        if self.database:
            return f"mlflow ui --backend-store-uri {shlex.quote(_shown(self.database))}"
        return f"mlflow ui --backend-store-uri {shlex.quote(without_password(self.uri))}"


def without_password(text: str) -> str:
    """A text with addresses, without the passwords that they hold."""
    return re.sub(r"(//[^/:@\s]*):[^/@\s]*@", r"\1:***@", text)


def sqlite_uri(database: Path) -> str:
    """Address of a database.

    MLflow makes the folder of the address as it is spelt. What an address can't hold as it is, is therefore left to
    the working directory where it can be.
    """
    if not set("%?") & set(str(database)):
        return f"sqlite:///{database}"
    if database.parent == Path.cwd():
        return f"sqlite:///{database.name}"
    return URL.create("sqlite", database=str(database)).render_as_string()


def _shown(database: Path) -> str:
    path = shown(database)
    return f"sqlite:///{path}" if not set("%?") & set(path) else URL.create("sqlite", database=path).render_as_string()
