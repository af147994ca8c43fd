"""Decode + augmentation on two cores: this project's input path against torchvision's per-image PIL pipeline."""

import io
import time
from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from comparison import compare
from slimp_pipeline.cohorts.fabricated import fabricate_tbp
from slimp_pipeline.images.augment import augment
from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.images.store import SCHEMA, ImageStore, pack
from slimp_pipeline.parameters import AugmentationParams, IngestParams

BATCH, NUM_WORKERS = 64, 2
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


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
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in pack(images, IngestParams()):
                writer.write_batch(batch)
    return ImageStore(path)


class PerImage(Dataset):
    """What most training scripts do: open, augment and normalise one picture at a time, in workers."""

    def __init__(self, store: ImageStore, size: int) -> None:
        self.store = store
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=(0.5, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(180),
                transforms.ColorJitter(0.2, 0.2, 0.2, 0.02),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(io.BytesIO(self.store.encoded(index))).convert("RGB"))


def measure(folder: Path, size: int, rounds: int) -> dict:
    store = crops(folder)
    keep_freed_memory()
    count = 150 if size == 64 else 40
    batches = torch.randint(len(store), (count, BATCH), generator=torch.Generator().manual_seed(0)).tolist()

    def ours() -> float:
        torch.set_num_threads(1)  # two workers decode meanwhile: more threads than cores wait for each other
        loader = decoded_batches(store, size, batches, NUM_WORKERS)
        generator = torch.Generator().manual_seed(0)
        views = (augment(c, s, size, AugmentationParams(), generator, MEAN, STD) for c, s in loader)
        return _rate(views)

    def peer() -> float:
        return _rate(DataLoader(PerImage(store, size), batch_sampler=batches, num_workers=NUM_WORKERS))

    return compare(
        *zip(*((ours(), peer()) for _ in range(rounds)), strict=True), "torchvision per-image PIL", "images/s"
    )


def _rate(batches) -> float:
    """Images per second from the second batch on: workers start once a training, not once a batch."""
    iterator = iter(batches)
    next(iterator)
    started, images = time.perf_counter(), 0
    for batch in iterator:
        images += len(batch)
    return images / (time.perf_counter() - started)
