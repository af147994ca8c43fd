"""The image store: one memory-mapped Arrow IPC file of encoded images, read by row."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from joblib import Parallel, delayed
from tqdm import tqdm

from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.images.limits import memory_limit, ticking
from slimp_pipeline.images.raw_images import RawImages, memory_per_image
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
    limits = {"max_side_px", "max_megapixels", "max_file_mb", "max_seconds_per_image", "jpeg_quality"}
    digest = hashlib.sha256(settings.model_dump_json(include=limits).encode())
    columns = images[["image_id", "path", "key", "size_bytes", "mtime_ns"]].astype(str)
    digest.update("\n".join(columns.agg("\t".join, axis=1)).encode())
    return digest.hexdigest()[:20]


def pack(images: pd.DataFrame, settings: IngestParams) -> Iterator[pa.RecordBatch]:
    """Check images in parallel processes and yield them as record batches of `SCHEMA`, in order.

    Args:
        images: One row per image: image_id, path, key (inside an HDF5 file, else empty).
        settings: Limits, quality, number of processes.

    Raises:
        ValueError: If a process is killed, by the system for want of memory above all; names the images at work.
    """
    images = images.assign(path=images["path"].map(os.path.abspath))  # workers outlive a change of folder
    tasks = [images.iloc[i : i + _IMAGES_PER_TASK] for i in range(0, len(images), _IMAGES_PER_TASK)]
    workers = Parallel(n_jobs=min(settings.num_processes, max(1, len(tasks))), return_as="generator")
    at_work: deque[pd.DataFrame] = deque()
    with tqdm(total=len(images), desc="Packing images", unit="img", leave=False, disable=None) as progress:
        try:
            for batch in workers(_dispatched(tasks, at_work, settings)):
                at_work.popleft()
                progress.update(batch.num_rows)
                yield batch
        except BrokenProcessPool as error:
            ids = pd.concat(at_work)["image_id"]
            raise ValueError(
                f"a process that checks images was killed while it worked on one of {len(ids)} images "
                f"({ids.iloc[0]} to {ids.iloc[-1]} in the list of images), most likely by the system for want of "
                "memory. Lower ingest.num_processes, or ingest.max_megapixels and ingest.max_file_mb so that the "
                "largest are refused."
            ) from error


def _dispatched(tasks: list[pd.DataFrame], at_work: deque[pd.DataFrame], settings: IngestParams) -> Iterator[Any]:
    for task in tasks:
        at_work.append(task)
        yield delayed(_pack_batch)(task[["image_id", "path", "key"]].to_dict("list"), settings)


def _pack_batch(entries: dict[str, list[str]], settings: IngestParams) -> pa.RecordBatch:
    with ticking(), memory_limit(memory_per_image(settings)), RawImages(settings) as raw_images:
        columns = (entries["image_id"], entries["path"], entries["key"])
        rows = [_pack_one(*entry, raw_images, settings) for entry in zip(*columns, strict=True)]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _pack_one(image_id: str, path: str, key: str, raw_images: RawImages, settings: IngestParams) -> dict[str, Any]:
    try:
        image = check_image(raw_images.read(path, key), settings)
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
