"""The image store: one memory-mapped Arrow IPC file of encoded images, read by row."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("encoded", pa.large_binary()),  # null where the image was refused
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("sha256", pa.string()),
        ("perceptual_hash", pa.uint64()),
        ("refused", pa.string()),  # reason, null where the image is good
        ("stamp", pa.uint64()),  # digest of what the row was made from; earlier releases wrote none
    ]
)
NO_ROWS = pa.RecordBatch.from_pylist([], schema=SCHEMA)
_TOLD = [name for name in SCHEMA.names if name not in ("encoded", "stamp")]


class ImageStore:
    """Encoded images by row; opens at once, whatever their number, and costs no memory until read.

    All record batches have as many rows, the last at most as many: so a row's place follows from its number.

    Attributes:
        path: The Arrow IPC file. Only the path travels to worker processes.

    Raises:
        OSError: If it is absent, damaged or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        self._file = _opened(self.path)
        self._columns: list[pa.Array | None] = [None] * self._file.num_record_batches  # each read when it is asked for
        self._rows_per_batch = len(self._column(0)) if self._columns else 0  # of all but the last

    def _column(self, batch: int) -> pa.Array:
        column = self._columns[batch]
        if column is None:
            column = self._file.get_batch(batch).column("encoded")
            if batch not in (0, len(self._columns) - 1) and len(column) != self._rows_per_batch:
                uneven = f"record batch {batch} has {len(column)} rows, the first has {self._rows_per_batch}"
                raise _unusable(self.path, f"is damaged, or not of this program ({uneven})")
            self._columns[batch] = column
        return column

    def __len__(self) -> int:
        if not self._columns:
            return 0
        last = len(self._columns) - 1
        return last * self._rows_per_batch + len(self._column(last))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._open()

    def encoded(self, index: int) -> memoryview:
        """Return the encoded bytes of row `index` without copying them.

        Raises:
            IndexError: If there is no such row, or its image was refused.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image store {self.path} has {len(self)} rows, row {index} was asked for")
        batch, row = divmod(index, self._rows_per_batch)
        value = self._column(batch)[row]
        if not value.is_valid:
            raise IndexError(f"row {index} of {self.path}: the image was refused when it was packed")
        return memoryview(value.as_buffer())

    def table(self) -> pd.DataFrame:
        """Return everything but the pixels: image_id, size, hashes, reason of refusal; index = row."""
        table = pa.Table.from_batches(
            [self._file.get_batch(i).select(_TOLD) for i in range(self._file.num_record_batches)],
            schema=pa.schema([SCHEMA.field(name) for name in _TOLD]),
        )
        # 64-bit hashes don't fit into float64, which pandas would take where one is missing.
        return table.to_pandas(types_mapper={pa.uint64(): pd.UInt64Dtype()}.get)

    def pictures(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that have an image, with its sha256 and perceptual_hash, by `store_index`."""
        hashes = self.table()[["sha256", "perceptual_hash"]]
        return rows.dropna(subset="store_index").merge(hashes, left_on="store_index", right_index=True)


def _opened(path: Path) -> pa.ipc.RecordBatchFileReader:
    """A packed file that is whole, and of this version."""
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid as error:
        raise _unusable(path, f"is damaged, or no image store ({error})") from error
    if absent := [name for name in ("encoded", *_TOLD) if name not in file.schema.names]:
        raise _unusable(path, f"is of another version of this program: it has no {', '.join(absent)}")
    return file


def _unusable(path: Path, what: str) -> OSError:
    return OSError(f"{path} {what}. `kedro run --pipeline=ingest` packs it anew, with what is whole in it.")
