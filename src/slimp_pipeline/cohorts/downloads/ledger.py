"""The ledger: a line for everything that was asked for, whether it was got, and why not."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Literal

import pandas as pd

GOT: Final = "got"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Entry:
    """What became of one thing that was asked for.

    Attributes:
        kind: An image of the archive, a file, the content of a zip file, or what a whole copy holds.
        name: Path below the cohort's folder; of what has none, what was asked for.
        outcome: `got` or `failed`.
        image_id: Of an image.
        num_bytes: On disk; of what was unpacked the sum.
        sha256: In hexadecimal digits; "" where there is no single file.
        num_tries: How often it was asked for, over all runs; 0 where it was there.
        reason: Why it failed, or what else is to be known.
        licence: As the archive or the cohort's YAML states it.
        attribution: Whom to name.
    """

    kind: Literal["image", "file", "unpacked", "expected"]
    name: str
    outcome: Literal["got", "failed"]
    image_id: str = ""
    num_bytes: int = 0
    sha256: str = ""
    num_tries: int = 0
    reason: str = ""
    licence: str = ""
    attribution: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What was asked for: an image by its id, since its suffix is known only once it is there."""
        return self.kind, self.image_id or self.name


COLUMNS = [field.name for field in fields(Entry)]


class Ledger:
    """Entries in a file that only grows, a line of JSON each; of several on one thing the last counts.

    A line that a killed run left unfinished is passed over.

    Args:
        file: Path of the file; it needn't be there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: dict[tuple[str, str], Entry] = {}
        for line in file.read_bytes().split(b"\n") if file.exists() else ():
            if entry := _read(line):
                self._entries[entry.key] = entry

    def got(self, kind: str, name: str) -> Entry | None:
        """The entry of what was got before; None where it wasn't."""
        entry = self._entries.get((kind, name))
        return entry if entry and entry.outcome == GOT else None

    def num_tries(self, kind: str, name: str) -> int:
        """How often something was asked for before."""
        entry = self._entries.get((kind, name))
        return entry.num_tries if entry else 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def add(self, entry: Entry) -> Entry:
        """Append an entry; it is in the file when this returns."""
        line = json.dumps({"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"} | asdict(entry))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab+") as file:
            if file.tell() and not _ends_a_line(file):
                file.write(b"\n")
            file.write(line.encode() + b"\n")
        self._entries[entry.key] = entry
        return entry


def as_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """A row for each entry, columns as its attributes."""
    return pd.DataFrame([asdict(entry) for entry in entries], columns=COLUMNS)


def _read(line: bytes) -> Entry | None:
    try:
        values = json.loads(line)
        return Entry(**{name: values[name] for name in COLUMNS})
    except (ValueError, KeyError, TypeError):
        return None


def _ends_a_line(file: IO[bytes]) -> bool:
    file.seek(-1, 2)
    return bool(file.read(1) == b"\n")
