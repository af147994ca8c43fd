"""The image store: one memory-mapped Arrow IPC file of encoded images, read by row."""

from pathlib import Path
from typing import Any

import numpy as np
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
_TOLD = [name for name in SCHEMA.names if name not in ("encoded", "stamp")]


class ImageStore:
    """Encoded images by row; opens in milliseconds and costs no memory until read.

    Attributes:
        path: The Arrow IPC file. Only the path travels to worker processes.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        self._file = pa.ipc.open_file(pa.memory_map(str(self.path)))
        batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        self._encoded = [batch.column("encoded") for batch in batches]
        self._starts = np.cumsum([0] + [batch.num_rows for batch in batches])

    def __len__(self) -> int:
        return int(self._starts[-1])

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
        batch = int(np.searchsorted(self._starts, index, side="right")) - 1
        value = self._encoded[batch][index - int(self._starts[batch])]
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
