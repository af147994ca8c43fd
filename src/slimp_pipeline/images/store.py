"""The image store: one memory-mapped Arrow IPC file of encoded images, read by row."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from joblib import Parallel, delayed
from tqdm import tqdm

from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.parameters import IngestParams

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("encoded", pa.large_binary()),  # null where the image was refused
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("sha256", pa.string()),
        ("perceptual_hash", pa.uint64()),
        ("refused", pa.string()),  # reason, null where the image is good
    ]
)
_IMAGES_PER_TASK = 64


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
        columns = [name for name in SCHEMA.names if name != "encoded"]
        table = pa.Table.from_batches(
            [self._file.get_batch(i).select(columns) for i in range(self._file.num_record_batches)],
            schema=pa.schema([SCHEMA.field(name) for name in columns]),
        )
        # 64-bit hashes don't fit into float64, which pandas would take where one is missing.
        return table.to_pandas(types_mapper={pa.uint64(): pd.UInt64Dtype()}.get)

    def pictures(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that have an image, with its sha256 and perceptual_hash, by `store_index`."""
        hashes = self.table()[["sha256", "perceptual_hash"]]
        return rows.dropna(subset="store_index").merge(hashes, left_on="store_index", right_index=True)


@dataclass(frozen=True)
class Packing:
    """Images to be packed: a name for the result, and a call that yields it. Nothing runs before the call."""

    key: str
    batches: Callable[[], Iterator[pa.RecordBatch]]


def packing_key(images: pd.DataFrame, settings: IngestParams) -> str:
    """Name what would be packed: a digest of the files' names, sizes and times, and of the settings."""
    digest = hashlib.sha256(
        settings.model_dump_json(include={"max_side_px", "max_megapixels", "jpeg_quality"}).encode()
    )
    columns = images[["image_id", "path", "key", "size_bytes", "mtime_ns"]].astype(str)
    digest.update("\n".join(columns.agg("\t".join, axis=1)).encode())
    return digest.hexdigest()[:20]


def pack(images: pd.DataFrame, settings: IngestParams) -> Iterator[pa.RecordBatch]:
    """Check images in parallel processes and yield them as record batches of `SCHEMA`, in order.

    Args:
        images: One row per image: image_id, path, key (inside an HDF5 file, else empty).
        settings: Limits, quality, number of processes.
    """
    images = images.assign(path=images["path"].map(os.path.abspath))  # workers outlive a change of folder
    tasks = [images.iloc[i : i + _IMAGES_PER_TASK] for i in range(0, len(images), _IMAGES_PER_TASK)]
    workers = Parallel(n_jobs=min(settings.num_processes, max(1, len(tasks))), return_as="generator")
    work = (delayed(_pack_batch)(task[["image_id", "path", "key"]].to_dict("list"), settings) for task in tasks)
    with tqdm(total=len(images), desc="Packing images", unit="img", leave=False, disable=None) as progress:
        for batch in workers(work):
            progress.update(batch.num_rows)
            yield batch


def _pack_batch(entries: dict[str, list[str]], settings: IngestParams) -> pa.RecordBatch:
    rows = [
        _pack_one(image_id, raw, settings)
        for image_id, raw in zip(entries["image_id"], _read(entries["path"], entries["key"]), strict=True)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _pack_one(image_id: str, raw: bytes | OSError, settings: IngestParams) -> dict[str, Any]:
    try:
        if isinstance(raw, OSError):
            raise ImageRefused(f"can't be read: {raw.strerror or raw}")
        image = check_image(raw, settings)
    except ImageRefused as refusal:
        return {"image_id": image_id, "refused": str(refusal)}
    return {
        "image_id": image_id,
        "encoded": image.encoded,
        "width_px": image.width_px,
        "height_px": image.height_px,
        "sha256": hashlib.sha256(image.encoded).hexdigest(),
        "perceptual_hash": image.perceptual_hash,
    }


def _read(paths: list[str], keys: list[str]) -> Iterator[bytes | OSError]:
    file: h5py.File | None = None
    for path, key in zip(paths, keys, strict=True):
        try:
            if not key:
                yield Path(path).read_bytes()
                continue
            if file is None or file.filename != path:
                file = h5py.File(path, "r")
            yield bytes(np.asarray(file[key][()]).tobytes())
        except OSError as error:
            yield error
