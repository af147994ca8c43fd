"""What a run measured, step by step; behind a running checkpoint, in a file that only grows."""

import json
import os
from pathlib import Path
from typing import NamedTuple

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
    """

    def __init__(self, folder: Path | None = None, num_bytes: int = 0) -> None:
        self.values: list[Value] = []
        self._file = folder / _NAME if folder else None
        self._num_kept = 0
        if self._file and num_bytes:
            text = self._file.read_bytes()[:num_bytes].decode()
            self.values = [Value(*json.loads(line)) for line in text.splitlines()]
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
