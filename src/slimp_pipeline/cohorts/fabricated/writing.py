"""Files that appear only when whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Gives a temporary name in the same folder; renames it to `path` at the end, drops it on error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a table of ready-made text; missing values are empty, lines end in LF."""
    with replaced_when_done(path) as temporary:
        table.fillna("").to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def clean_number(value: float) -> str:
    """Seven significant digits, as measuring systems print them: `3.04`, `0.0`, `1.334303e-07`."""
    return str(float(f"{value:.7g}"))
