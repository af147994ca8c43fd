"""From stored bytes to normalised views: this project's input path against pipelines of others.

Compared by processor time, of all processes together: it says what a view costs, however many cores and workers there
are and whatever else runs on the machine.
"""

import resource
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from comparison import compare
from peers import MEAN, STD, PerImage, albumentations_x, lightly_simclr, torchvision_pil
from slimp_pipeline.cohorts.fabricated import fabricate_tbp
from slimp_pipeline.images.augment import ViewFormat, draw_maps, sample_views
from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.images.packing import pack
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.parameters import AugmentationParams, IngestParams

BATCH = 64
PEERS = {  # by their names in the results: pipeline, views of a picture, what it is
    "torchvision": (torchvision_pil, 1, "torchvision, PIL"),
    "lightly": (lightly_simclr, 2, "lightly SimCLRTransform, two views"),
    "albumentationsx": (albumentations_x, 1, "AlbumentationsX, OpenCV"),
}


def crops(folder: Path, num_patients: int = 60) -> ImageStore:
    """A store of fabricated 3D-photography crops, as SLICE-3D has them."""
    path = folder / "crops.arrow"
    if not path.is_file():
        import h5py
        import pandas as pd

        raw = folder / "tbp"
        raw.mkdir()
        fabricate_tbp(raw, num_patients=num_patients, seed=5)
        with h5py.File(raw / "train-image.hdf5") as file:
            keys = sorted(file)
        images = pd.DataFrame({"image_id": keys, "path": str(raw / "train-image.hdf5"), "key": keys})
        images = images.assign(size_bytes=0, mtime_ns=0)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in pack(images, IngestParams()):
                writer.write_batch(batch)
    return ImageStore(path)


def measure(folder: Path, size: int, num_workers: int, rounds: int) -> dict[str, dict]:
    """Views per second of processor time, ours and each peer's in turn; results by the peer's name."""
    torch.set_num_threads(1)
    keep_freed_memory()
    store = crops(folder)
    datasets = {name: PerImage(store, make(size)) for name, (make, _, _) in PEERS.items()}
    measured, num_batches = {name: ([], []) for name in PEERS}, max(2, 600 // size)
    for number in range(rounds + 1):
        for name, (_, num_views, _) in PEERS.items():
            rates = (
                _rate(
                    lambda rows, views=num_views: _ours(store, size, views, num_workers, rows), store, 4 * num_batches
                ),
                _rate(lambda rows, name=name: _theirs(datasets[name], num_workers, rows), store, num_batches),
            )
            if number:  # the first round warms up
                for values, rate in zip(measured[name], rates, strict=True):
                    values.append(rate)
    return {name: compare(*measured[name], label, "views per CPU second") for name, (_, _, label) in PEERS.items()}


def _ours(store: ImageStore, size: int, num_views: int, num_workers: int, rows: list[list[int]]) -> Iterable[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for canvas, side in decoded_batches(store, size, rows, num_workers):
        for _ in range(num_views):
            maps = draw_maps(len(canvas), AugmentationParams(), generator)
            yield sample_views(canvas, side, maps, ViewFormat(size, MEAN, STD))


def _theirs(dataset: PerImage, num_workers: int, rows: list[list[int]]) -> Iterable[Tensor]:
    for views in DataLoader(dataset, batch_sampler=rows, num_workers=num_workers):
        yield from views


def _rate(views_of: Callable[[list[list[int]]], Iterable[Tensor]], store: ImageStore, num_batches: int) -> float:
    """Views per second of processor time, user and system; without the start of workers, once a training."""
    rows = torch.randint(len(store), (num_batches + 2, BATCH), generator=torch.Generator().manual_seed(0)).tolist()
    (few, to_start), (all_views, whole) = (_count_and_seconds(views_of(part)) for part in (rows[:2], rows))
    return (all_views - few) / (whole - to_start)


def _count_and_seconds(views: Iterable[Tensor]) -> tuple[int, float]:
    """Count views, and the processor time of this process and of its workers, which have ended by then."""

    def used() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    started = used()
    return sum(map(len, views)), used() - started
