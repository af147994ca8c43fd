"""Packing: raw images are checked in parallel processes and become the rows of an image store.

What was packed before, from the same files under the same limits, is taken over: a packing that was broken off goes
on, and images that are added to a cohort are the only ones that are checked.
"""

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.images.limits import memory_limit, ticking
from slimp_pipeline.images.packed import PackedImages
from slimp_pipeline.images.raw_images import RawImages, memory_per_image
from slimp_pipeline.images.store import SCHEMA
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.processes.pool import pool

logger = logging.getLogger(__name__)
IMAGES_PER_BATCH = 64
_BATCHES_PER_PROCESS = 2  # sent ahead, so that none waits; more would wait in memory for a slow disk
_LIMITS = {"max_side_px", "max_megapixels", "max_file_mb", "max_seconds_per_image", "jpeg_quality"}


@dataclass(frozen=True)
class Packing:
    """Images to be packed.

    Attributes:
        key: A name for the result.
        batches: Yields it, given what was packed before; nothing runs before the call.
    """

    key: str
    batches: Callable[[PackedImages], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class _Batch:
    """Rows of the store to be, in order: found ones, and the images to be checked for the others.

    Attributes:
        found: A batch of one row, or None.
        to_check: image_id, path, key, stamp of each image that wasn't found.
        checked: Their rows, once they are.
    """

    found: list[pa.RecordBatch | None]
    to_check: pd.DataFrame
    checked: "Future[pa.RecordBatch] | None" = None

    def joined(self) -> pa.RecordBatch:
        """All rows, in order.

        Raises:
            BrokenProcessPool: If a process was killed.
        """
        if self.checked is None:
            return pa.concat_batches([row for row in self.found if row is not None])
        checked = self.checked.result()
        if len(self.to_check) == len(self.found):
            return checked
        others = (checked.slice(row, 1) for row in range(checked.num_rows))
        return pa.concat_batches([next(others) if row is None else row for row in self.found])


def packing_key(images: pd.DataFrame, settings: IngestParams) -> str:
    """Name what would be packed: a digest of the files' names, sizes and times, and of the settings."""
    digest = hashlib.sha256(settings.model_dump_json(include=_LIMITS).encode())
    digest.update("\n".join(_sources(images)).encode())
    return digest.hexdigest()[:20]


def stamps(images: pd.DataFrame, settings: IngestParams) -> np.ndarray:
    """Digest of each file's name, size and time, and of the settings: uint64 (N,). Equal ones give equal rows."""
    limits = hashlib.blake2b(settings.model_dump_json(include=_LIMITS).encode(), digest_size=8)
    stamp_N = np.empty(len(images), dtype=np.uint64)
    for row, source in enumerate(_sources(images)):
        digest = limits.copy()
        digest.update(source.encode())
        stamp_N[row] = int.from_bytes(digest.digest(), "little")
    return stamp_N


def pack(images: pd.DataFrame, settings: IngestParams, packed: PackedImages | None = None) -> Iterator[pa.RecordBatch]:
    """Check images in parallel processes and yield them as record batches of `SCHEMA`, in order.

    Args:
        images: One row per image: image_id, path, key (inside an HDF5 file, else empty), size_bytes, mtime_ns.
        settings: Limits, quality, number of processes.
        packed: Images that were packed before; they aren't checked again.

    Raises:
        ValueError: If a process is killed, by the system for want of memory above all; names the images at work.
    """
    packed = packed or PackedImages()
    images = images.assign(stamp=stamps(images, settings))
    images["path"] = images["path"].map(os.path.abspath)  # workers outlive a change of folder
    if num_found := packed.count(images["stamp"].to_numpy()):
        logger.info("%s of %s images are taken over from earlier packings", f"{num_found:,}", f"{len(images):,}")
    with tqdm(total=len(images), desc="Packing images", unit="img", leave=False, disable=None) as progress:
        for batch in _in_order(images, settings, packed):
            progress.update(batch.num_rows)
            yield batch


def _in_order(images: pd.DataFrame, settings: IngestParams, packed: PackedImages) -> Iterator[pa.RecordBatch]:
    num_processes = min(settings.num_processes, -(-len(images) // IMAGES_PER_BATCH))
    ahead: deque[_Batch] = deque()
    try:
        for start in range(0, len(images), IMAGES_PER_BATCH):
            rows = images.iloc[start : start + IMAGES_PER_BATCH]
            found = packed.find(rows["stamp"].to_numpy())
            to_check = rows[[row is None for row in found]]
            ahead.append(_Batch(found, to_check, _checking(to_check, settings, num_processes)))
            if len(ahead) > _BATCHES_PER_PROCESS * num_processes or num_processes == 1:
                yield ahead[0].joined()
                ahead.popleft()
        while ahead:
            yield ahead[0].joined()
            ahead.popleft()
    except BrokenProcessPool as error:
        ids = pd.concat([batch.to_check for batch in ahead])["image_id"]
        raise ValueError(
            f"a process that checks images was killed while it worked on one of {len(ids)} images "
            f"({ids.iloc[0]} to {ids.iloc[-1]} in the list of images), most likely by the system for want of "
            "memory. Lower ingest.num_processes, or ingest.max_megapixels and ingest.max_file_mb so that the "
            "largest are refused."
        ) from error
    finally:
        for batch in ahead:
            if batch.checked:
                batch.checked.cancel()


def _checking(images: pd.DataFrame, settings: IngestParams, num_processes: int) -> "Future[pa.RecordBatch] | None":
    """Rows that come from another process; with one process, from this one, at once."""
    if images.empty:
        return None
    entries = images[["image_id", "path", "key", "stamp"]].to_dict("list")
    if num_processes > 1:  # of one pool, whatever the number of images: another thread may pack, too
        return pool(settings.num_processes).submit(_check_batch, entries, settings)
    done: Future[pa.RecordBatch] = Future()
    done.set_result(_check_batch(entries, settings))
    return done


def _check_batch(entries: dict[str, list[Any]], settings: IngestParams) -> pa.RecordBatch:
    with ticking(), memory_limit(memory_per_image(settings)), RawImages(settings) as raw_images:
        columns = (entries["image_id"], entries["path"], entries["key"])
        rows = [_check_one(*entry, raw_images, settings) for entry in zip(*columns, strict=True)]
    stamped = [row | {"stamp": stamp} for row, stamp in zip(rows, entries["stamp"], strict=True)]
    return pa.RecordBatch.from_pylist(stamped, schema=SCHEMA)


def _check_one(image_id: str, path: str, key: str, raw_images: RawImages, settings: IngestParams) -> dict[str, Any]:
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


def _sources(images: pd.DataFrame) -> Iterator[str]:
    columns = [images[name].astype(str) for name in ("image_id", "path", "key", "size_bytes", "mtime_ns")]
    return map("\t".join, zip(*columns, strict=True))
