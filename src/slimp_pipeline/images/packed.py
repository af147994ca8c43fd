"""Images that were packed before, whole or in a packing that was broken off: they needn't be checked again.

A packed file is an Arrow IPC file, which is a stream behind eight bytes, and a list of its batches at the end. So one
that never got its end is read as a stream, up to the last whole batch.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from slimp_pipeline.images.raw_images import may_be_readable_later
from slimp_pipeline.images.store import NO_ROWS

_MAGIC = 8  # bytes before the stream: "ARROW1" and padding


class PackedImages:
    """Rows of packed files by their stamp, which says what they were made from; nothing of them is held in memory.

    Args:
        files: Packed files, whole or not. Of rows with one stamp the first counts; what couldn't be read is none.
            Files without stamps, as earlier releases wrote them, add nothing.

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

    def positions(self, stamp_N: np.ndarray) -> np.ndarray:
        """Where rows with these stamps are, int64 (N,); -1 where there is none."""
        return self._index.get_indexer(stamp_N)

    def take(self, position_B: np.ndarray) -> tuple[np.ndarray, pa.RecordBatch]:
        """Rows by their positions.

        Returns:
            is_there_B: False where the position is -1, or the row's bytes were damaged since.
            rows: The others, in order.
        """
        is_there_B = position_B >= 0
        batch_R, row_R = self._place_N2[position_B[is_there_B]].T
        starts = [0, *(np.flatnonzero(np.diff(batch_R)) + 1), len(batch_R)]
        runs = [
            self._batches[batch_R[start]].take(pa.array(row_R[start:end]))
            for start, end in pairwise(starts)
            if end > start
        ]
        rows = pa.concat_batches(runs) if runs else NO_ROWS
        is_whole_R = np.array(
            [_is_whole(*row) for row in zip(rows["encoded"], rows["sha256"].to_pylist(), strict=True)]
        )
        is_there_B[is_there_B] = is_whole_R
        return is_there_B, rows if is_whole_R.all() else rows.filter(pa.array(is_whole_R))

    def _add(self, path: Path) -> None:
        batches = list(_whole_batches(path))
        stamps = [batch.column("stamp").to_numpy(zero_copy_only=False) for batch in batches]
        stamp_N = np.concatenate([np.empty(0, np.uint64), *stamps]).astype(np.uint64)
        rows = [np.arange(len(stamp)) for stamp in stamps]
        numbers = [np.full(len(stamp), len(self._batches) + number) for number, stamp in enumerate(stamps)]
        refused = [reason for batch in batches for reason in batch.column("refused").to_pylist()]
        is_unread_N = np.fromiter(map(may_be_readable_later, refused), bool, len(refused))
        is_new_N = ~(pd.Index(stamp_N).duplicated() | np.isin(stamp_N, self._index) | is_unread_N)
        if not is_new_N.any():
            return
        self.adding.append(path)
        self._batches += batches
        place_N2 = np.stack([np.concatenate(numbers), np.concatenate(rows)], axis=1)
        self._index = self._index.append(pd.Index(stamp_N[is_new_N]))
        self._place_N2 = np.concatenate([self._place_N2, place_N2[is_new_N]])


def _is_whole(encoded: pa.LargeBinaryScalar, digest: str) -> bool:
    return not encoded.is_valid or hashlib.sha256(encoded.as_buffer()).hexdigest() == digest


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
