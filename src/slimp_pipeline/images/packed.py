"""Images that were packed before, whole or in a packing that was broken off: they needn't be checked again.

A packed file is an Arrow IPC file, which is a stream behind eight bytes, and a list of its batches at the end. So one
that never got its end is read as a stream, up to the last whole batch.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

_MAGIC = 8  # bytes before the stream: "ARROW1" and padding


class PackedImages:
    """Rows of packed files by their stamp, which says what they were made from; nothing of them is held in memory.

    Args:
        files: Packed files, whole or not. Of rows with one stamp the first counts. Files without stamps, as earlier
            releases wrote them, add nothing.

    Attributes:
        adding: The files that hold a row which those before them don't.
    """

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self.adding: list[Path] = []
        self._batches: list[pa.RecordBatch] = []
        self._index = pd.Index([], dtype=np.uint64)  # stamp of each row
        self._place_N2 = np.empty((0, 2), dtype=np.int64)  # its batch and its row there
        for path in files:
            self._add(path)

    def count(self, stamp_N: np.ndarray) -> int:
        """How many of these stamps there are."""
        return int((self._index.get_indexer(stamp_N) >= 0).sum())

    def find(self, stamp_B: np.ndarray) -> list[pa.RecordBatch | None]:
        """Rows by stamp, as batches of one row; None where there is none, or its bytes were damaged since."""
        return [self._row(int(position)) for position in self._index.get_indexer(stamp_B)]

    def _add(self, path: Path) -> None:
        batches = list(_whole_batches(path))
        stamps = [batch.column("stamp").to_numpy(zero_copy_only=False) for batch in batches]
        stamp_N = np.concatenate([np.empty(0, np.uint64), *stamps]).astype(np.uint64)
        rows = [np.arange(len(stamp)) for stamp in stamps]
        numbers = [np.full(len(stamp), len(self._batches) + number) for number, stamp in enumerate(stamps)]
        is_new_N = ~(pd.Index(stamp_N).duplicated() | np.isin(stamp_N, self._index))
        if not is_new_N.any():
            return
        self.adding.append(path)
        self._batches += batches
        place_N2 = np.stack([np.concatenate(numbers), np.concatenate(rows)], axis=1)
        self._index = self._index.append(pd.Index(stamp_N[is_new_N]))
        self._place_N2 = np.concatenate([self._place_N2, place_N2[is_new_N]])

    def _row(self, position: int) -> pa.RecordBatch | None:
        if position < 0:
            return None
        batch, row = self._place_N2[position]
        found = self._batches[batch].slice(row, 1)
        encoded, digest = found.column("encoded")[0], found.column("sha256")[0].as_py()
        if encoded.is_valid and hashlib.sha256(encoded.as_buffer()).hexdigest() != digest:
            return None
        return found


def _whole_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of a packed file up to the first that isn't whole; none where it holds no stamps."""
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_stream(file.read_buffer()[_MAGIC:])
        if "stamp" not in reader.schema.names:
            return
        for batch in reader:
            batch.validate(full=True)
            yield batch
    except (OSError, pa.ArrowInvalid):
        return
