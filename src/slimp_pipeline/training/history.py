"""What a run measured, step by step; behind a running checkpoint, in a file that only grows."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from slimp_pipeline.training.checkpoint import damaged

_NAME = "history.jsonl"


class Value(NamedTuple):
    """What was measured after a step."""

    step: int
    epoch: int
    name: str
    value: float


class History:
    """Values in the order in which they were measured.

    To keep them costs what is new since the last time, however long the run: a checkpoint says how much of the file
    belongs to it, and what a killed run wrote after its last checkpoint is cut off.

    Args:
        folder: Of the running checkpoint; None keeps values in memory alone.
        num_bytes: How much of the file there belongs to the checkpoint that the run goes on from.

    Raises:
        ValueError: If less is there, or what is there is damaged.
    """

    def __init__(self, folder: Path | None = None, num_bytes: int = 0) -> None:
        self.values: list[Value] = []
        self._file = folder / _NAME if folder else None
        self._num_kept = 0
        if self._file and num_bytes:
            self.values = _read(self._file, num_bytes)
            self._num_kept = len(self.values)
        self._num_bytes = num_bytes

    def note(self, step: int, epoch: int, measured: dict[str, float]) -> None:
        """Add what was measured after a step."""
        self.values += [Value(step, epoch, name, value) for name, value in measured.items()]

    def keep(self) -> int:
        """Write what is new; return the size of the file, in bytes."""
        assert self._file is not None
        new = "".join(f"{json.dumps(value)}\n" for value in self.values[self._num_kept :])
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            file.truncate(self._num_bytes)
            self._num_bytes += file.write(new.encode())
            file.flush()
            os.fsync(file.fileno())
        self._num_kept = len(self.values)
        return self._num_bytes


def _read(file: Path, num_bytes: int) -> list[Value]:
    try:
        kept = file.read_bytes()[:num_bytes]
        if len(kept) < num_bytes:
            raise damaged(file.parent, f"{file.name} has {len(kept)} bytes, {num_bytes} are needed")
        return [Value(*json.loads(line)) for line in kept.decode().splitlines()]
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        raise damaged(file.parent, f"{file.name} can't be read ({error})") from error
