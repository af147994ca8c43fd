"""The image store at 1,000,000 small images: packing against plain decoding, memory, opening, random access.

python benchmarks/store_1m.py [NUM_IMAGES]      prints all figures as JSON
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.fabricated.tbp import fabricate_tbp
from slimp_pipeline.datasets.image_store import ImageStoreDataset
from slimp_pipeline.images.packing import Packing, pack, packing_key
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import IngestParams

NUM_IMAGES, SIZES = 1_000_000, (10_000, 100_000, 1_000_000)
SETTINGS = IngestParams()
_READS = 20_000


def measure(folder: Path, rounds: int) -> dict:
    """Images packed per second of wall time against images decoded by as many processes, in one process of its own."""
    command = [sys.executable, __file__, str(NUM_IMAGES)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    reads = ", ".join(f"{size:,} rows {told[f'read_us_{size}']:.1f}" for size in SIZES if f"read_us_{size}" in told)
    ratio = told["packed_per_s"] / told["decoded_per_s"]
    return {
        "ours": told["packed_per_s"],
        "peer": told["decoded_per_s"],
        "peer_name": f"decoding alone, {SETTINGS.num_processes} processes "
        f"({told['num_images']:,} images; "
        f"peak memory {told['peak_mb']:.0f} MB; opens in {told['open_ms']:.0f} ms; us a read: {reads}; "
        f"100 images more: {told['added_s']:.1f} s)",
        "unit": "img/s",
        "ratio": ratio,
        "spread": [round(ratio, 3), round(ratio, 3)],
    }


def main(num_images: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures, images = generate(folder, num_images + 100)
        told: dict[str, float] = {"num_images": num_images, "num_bytes": sum(map(len, pictures)) / len(pictures)}
        told["decoded_per_s"] = decoding_rate(pictures)
        for size in sorted({size for size in SIZES if size < num_images} | {num_images}):
            seconds, store = packed(folder / str(size), images.head(size))
            told |= {f"read_us_{size}": read_us(store), f"open_ms_{size}": open_ms(store)}
        told |= {"packed_per_s": num_images / seconds, "open_ms": told[f"open_ms_{num_images}"], "peak_mb": peak_mb()}
        told["decoded_per_s"] = (told["decoded_per_s"] + decoding_rate(pictures)) / 2
        told["added_s"], _ = packed(folder / str(num_images), images)
    print(json.dumps(told))


def generate(folder: Path, num_images: int) -> tuple[list[bytes], pd.DataFrame]:
    """Crops in SLICE-3D's layout, one HDF5 file; many names for each of some thousand pictures."""
    raw = folder / "raw"
    raw.mkdir()
    fabricate_tbp(raw, num_patients=60, seed=5)
    with h5py.File(raw / "train-image.hdf5") as file:
        pictures = [bytes(file[key][()]) for key in sorted(file)]
    path, keys = raw / "many.hdf5", [f"ISIC_{number:07d}" for number in range(num_images)]
    with h5py.File(path, "w", libver="latest") as file:
        for number, key in enumerate(keys):
            if number < len(pictures):
                file[key] = np.void(pictures[number])
            else:
                file[key] = file[keys[number % len(pictures)]]
    stat = path.stat()
    images = pd.DataFrame({"image_id": keys, "path": str(path), "key": keys})
    return pictures, images.assign(size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def packed(folder: Path, images: pd.DataFrame) -> tuple[float, ImageStore]:
    """Seconds that packing takes, and the store."""
    dataset = ImageStoreDataset(filepath=str(folder / "store.json"), path=str(folder / "store"))
    started = time.perf_counter()
    dataset.save(Packing(packing_key(images, SETTINGS), partial(pack, images, SETTINGS)))
    seconds = time.perf_counter() - started
    store = dataset.load()
    assert len(store) == len(images)
    return seconds, store


def decoding_rate(pictures: list[bytes]) -> float:
    """Pictures per second that as many processes decode, and do nothing else."""
    with ProcessPoolExecutor(SETTINGS.num_processes) as processes:
        list(processes.map(decode, [pictures[:50]] * SETTINGS.num_processes))  # they start
        parts, started = [pictures] * 10 * SETTINGS.num_processes, time.perf_counter()
        list(processes.map(decode, parts))
        return len(pictures) * len(parts) / (time.perf_counter() - started)


def decode(pictures: list[bytes]) -> None:
    import torch

    from slimp_pipeline.images.pixels import pixels

    torch.set_num_threads(1)
    for picture in pictures:
        pixels(picture)


def read_us(store: ImageStore) -> float:
    """Microseconds to read one row's bytes, rows drawn at random; the median of five rounds."""
    rows = random.Random(0).choices(range(len(store)), k=_READS)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        for row in rows:
            len(store.encoded(row))
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[2] / _READS * 1e6


def open_ms(store: ImageStore) -> float:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        ImageStore(store.path)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[2] * 1e3


def peak_mb() -> float:
    """Of this process, which writes, without the pages of files that the system may drop."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else NUM_IMAGES)
