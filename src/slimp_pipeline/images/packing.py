"""Packing: raw images are checked in parallel processes and become the rows of an image store.

What was packed before, from the same files under the same limits, is taken over: a packing that was broken off goes
on, and images that are added to a cohort are the only ones that are checked.
"""

import gc
import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from slimp_pipeline.images.check import CheckedImage, ImageRefused, check_image
from slimp_pipeline.images.limits import memory_limit, ticking
from slimp_pipeline.images.packed import PackedImages
from slimp_pipeline.images.raw_images import RawImages, may_be_readable_later, memory_per_image
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.processes.pool import pool

logger = logging.getLogger(__name__)
IMAGES_PER_BATCH = 64  # of the store; what a packing that is broken off loses at most, with one process
_BATCHES_PER_TASK = 4  # of a process: handing over costs as much as ten small images
_TASKS_PER_PROCESS = 2  # sent ahead, so that none waits; more would wait in memory for a slow disk
_SOURCES_AT_ONCE = 65_536  # put into words
_BYTES_AT_ONCE = 16_000_000  # of raw images that are held; the last may be larger
_LIMITS = {"max_side_px", "max_megapixels", "max_file_mb", "max_seconds_per_image", "jpeg_quality"}


@dataclass(frozen=True)
class Packing:
    """Images to be packed.

    Attributes:
        key: A name for the result.
        batches: Yields it, given what was packed before; nothing runs before the call.
        lacks: Whether an image can be read now that couldn't be when a store was packed.
    """

    key: str
    batches: Callable[[PackedImages], Iterator[pa.RecordBatch]]
    lacks: Callable[[ImageStore], bool] = lambda _: False


@dataclass(frozen=True)
class _Task:
    """Images that follow each other: rows of earlier packings, and images to be checked for the others.

    Attributes:
        is_taken_B: Which are taken over.
        taken: Their rows.
        to_check: image_id, path, key, stamp of the others.
        checked: Their rows, once they are.
    """

    is_taken_B: np.ndarray
    taken: pa.RecordBatch
    to_check: dict[str, list[Any]]
    checked: "Future[pa.RecordBatch] | None" = None

    def rows(self) -> pa.RecordBatch:
        """All rows, in order.

        Raises:
            BrokenProcessPool: If a process was killed.
        """
        if self.checked is None:
            return self.taken
        checked = self.checked.result()
        if not self.taken.num_rows:
            return checked
        places = np.argsort(np.argsort(~self.is_taken_B, kind="stable"))  # of each among taken ones, then checked ones
        return pa.concat_batches([self.taken, checked]).take(pa.array(places))


def packing_of(images: pd.DataFrame, settings: IngestParams) -> Packing:
    """What packs images, and knows when to do so again; see `pack`."""
    return Packing(
        packing_key(images, settings), partial(pack, images, settings), partial(_is_readable_now, images, settings)
    )


def _is_readable_now(images: pd.DataFrame, settings: IngestParams, store: ImageStore) -> bool:
    unread = store.table()["refused"].map(may_be_readable_later, na_action=None).to_numpy()
    asked = images[["path", "key"]][unread].itertuples(index=False)
    with RawImages(settings) as raw_images:
        return any(isinstance(_read(path, key, raw_images), bytes) for path, key in asked)


def packing_key(images: pd.DataFrame, settings: IngestParams) -> str:
    """Name what would be packed: a digest of the files' names, sizes and times, and of the settings."""
    digest = hashlib.sha256(settings.model_dump_json(include=_LIMITS).encode())
    between = b""
    for sources in _sources(images):
        digest.update(between + "\n".join(sources).encode())
        between = b"\n"
    return digest.hexdigest()[:20]


def stamps(images: pd.DataFrame, settings: IngestParams) -> np.ndarray:
    """Digest of each file's name, size and time, and of the settings: uint64 (N,). Equal ones give equal rows."""
    limits = hashlib.blake2b(settings.model_dump_json(include=_LIMITS).encode(), digest_size=8)

    def stamp(source: str) -> bytes:
        digest = limits.copy()
        digest.update(source.encode())
        return digest.digest()

    digests = b"".join(stamp(source) for sources in _sources(images) for source in sources)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def pack(
    images: pd.DataFrame, settings: IngestParams, packed: PackedImages | None = None, doing: str = "Packing images"
) -> Iterator[pa.RecordBatch]:
    """Check images in parallel processes and yield them as record batches of `SCHEMA`, in order.

    Args:
        images: One row per image: image_id, path, key (inside an HDF5 file, else empty), size_bytes, mtime_ns.
        settings: Limits, quality, number of processes.
        packed: Images that were packed before; they aren't checked again.
        doing: What the progress bar calls it.

    Raises:
        ValueError: If a process is killed, by the system for want of memory above all; names the images at work.
    """
    packed = packed or PackedImages()
    stamp_N = stamps(images, settings)
    position_N = packed.positions(stamp_N)
    if num_found := int((position_N >= 0).sum()):
        logger.info("%s of %s images are taken over from earlier packings", f"{num_found:,}", f"{len(images):,}")
    entries = _table(images, ("image_id", "path", "key")).append_column("stamp", pa.array(stamp_N))
    with tqdm(total=len(images), desc=doing, unit="img", leave=False, disable=None) as progress:
        for rows in _in_order(entries, position_N, settings, packed):
            for start in range(0, rows.num_rows, IMAGES_PER_BATCH):
                batch = rows.slice(start, IMAGES_PER_BATCH)
                progress.update(batch.num_rows)
                yield batch


def _in_order(
    entries: pa.Table, position_N: np.ndarray, settings: IngestParams, packed: PackedImages
) -> Iterator[pa.RecordBatch]:
    """Rows of all images, task by task; each but the last makes whole batches of the store."""
    num_batches = -(-len(entries) // IMAGES_PER_BATCH)
    num_processes = min(settings.num_processes, num_batches)
    images_per_task = IMAGES_PER_BATCH * _batches_per_task(num_batches, num_processes)
    absolute = lru_cache(maxsize=1)(os.path.abspath)  # processes outlive a change of folder; many share an HDF5 file
    ahead: deque[_Task] = deque()
    try:
        for start in range(0, len(entries), images_per_task):
            is_taken, taken = packed.take(position_N[start : start + images_per_task])
            to_check = entries.slice(start, images_per_task).filter(pa.array(~is_taken)).to_pydict()
            to_check["path"] = list(map(absolute, to_check["path"]))
            ahead.append(_Task(is_taken, taken, to_check, _checking(to_check, settings, num_processes)))
            if len(ahead) > _TASKS_PER_PROCESS * num_processes or num_processes == 1:
                yield ahead[0].rows()
                ahead.popleft()
        while ahead:
            yield ahead[0].rows()
            ahead.popleft()
    except BrokenProcessPool as error:
        ids = [image_id for task in ahead for image_id in task.to_check["image_id"]]
        raise ValueError(
            f"a process that checks images was killed while it worked on one of {len(ids)} images "
            f"({ids[0]} to {ids[-1]} in the list of images), most likely by the system for want of "
            "memory. Lower ingest.num_processes, or ingest.max_megapixels and ingest.max_file_mb so that the "
            "largest are refused."
        ) from error
    finally:
        for task in ahead:
            if task.checked:
                task.checked.cancel()


def _batches_per_task(num_batches: int, num_processes: int) -> int:
    """So few of a small cohort that all processes have several tasks; one where nothing is handed over."""
    if num_processes <= 1:
        return 1
    return min(_BATCHES_PER_TASK, max(1, num_batches // (_TASKS_PER_PROCESS * num_processes)))


def _checking(
    entries: dict[str, list[Any]], settings: IngestParams, num_processes: int
) -> "Future[pa.RecordBatch] | None":
    """Rows that come from another process; with one process, from this one, at once."""
    if not entries["image_id"]:
        return None
    if num_processes > 1:  # of one pool, whatever the number of images: another thread may pack, too
        return pool(settings.num_processes).submit(_check_batch_apart, entries, settings)
    done: Future[pa.RecordBatch] = Future()
    done.set_result(_check_batch(entries, settings))
    return done


@cache
def _spare_garbage_collection() -> None:
    """Loky looks for garbage every second; looking through all that was imported takes a tenth of it."""
    gc.freeze()


def _check_batch(entries: dict[str, list[Any]], settings: IngestParams) -> pa.RecordBatch:
    with ticking(), memory_limit(memory_per_image(settings)), RawImages(settings) as raw_images:
        places = zip(entries["path"], entries["key"], strict=True)
        values = [of_image for raws in _some(places, raw_images) for of_image in _check_some(raws, settings)]
    rows = zip(entries["image_id"], values, entries["stamp"], strict=True)
    columns = zip(*[(image_id, *of_image, stamp) for image_id, of_image, stamp in rows], strict=True)
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def _check_batch_apart(entries: dict[str, list[Any]], settings: IngestParams) -> pa.RecordBatch:
    """The same in a process of the pool."""
    _spare_garbage_collection()
    return _check_batch(entries, settings)


def _some(places: Iterable[tuple[str, str]], raw_images: RawImages) -> Iterator[list[bytes | ImageRefused]]:
    """Raw images, as many at a time as needn't be counted against the memory."""
    raws, num_bytes = [], 0
    for path, key in places:
        raws.append(_read(path, key, raw_images))
        num_bytes += len(raws[-1]) if isinstance(raws[-1], bytes) else 0
        if len(raws) == IMAGES_PER_BATCH or num_bytes > _BYTES_AT_ONCE:
            yield raws
            raws, num_bytes = [], 0
    yield raws


def _read(path: str, key: str, raw_images: RawImages) -> bytes | ImageRefused:
    try:
        return raw_images.read(path, key)
    except ImageRefused as refusal:
        return refusal


def _check_some(raws: list[bytes | ImageRefused], settings: IngestParams) -> list[tuple[Any, ...]]:
    """What `SCHEMA` says of images, between their ids and their stamps.

    All are read, then all decoded, then all hashed: one after the other whole, each takes twice the time, since the
    processor's caches don't hold all of the code that an image passes through.
    """
    images = [_check_one(raw, settings) for raw in raws]
    return [
        (None, None, None, None, None, str(image))
        if isinstance(image, ImageRefused)
        else (image.encoded, image.width_px, image.height_px, _digest(image.encoded), image.perceptual_hash, None)
        for image in images
    ]


def _check_one(raw: bytes | ImageRefused, settings: IngestParams) -> CheckedImage | ImageRefused:
    try:
        return raw if isinstance(raw, ImageRefused) else check_image(raw, settings)
    except ImageRefused as refusal:
        return refusal


def _digest(encoded: bytes) -> str:
    return hashlib.sha256(encoded).hexdigest()


def _sources(images: pd.DataFrame) -> Iterator[list[str]]:
    """What each row of the store is made from, in words; some thousand at a time."""
    names = ("image_id", "path", "key", "size_bytes", "mtime_ns")
    for start in range(0, len(images), _SOURCES_AT_ONCE):
        columns = _table(images.iloc[start : start + _SOURCES_AT_ONCE], names).columns
        texts = [column.cast(pa.large_string()) for column in columns]
        yield pc.binary_join_element_wise(*texts, pa.scalar("\t", pa.large_string())).to_pylist()


def _table(images: pd.DataFrame, names: tuple[str, ...]) -> pa.Table:
    return pa.Table.from_pandas(images[list(names)], preserve_index=False)
