"""A folder of pictures embedded with its metadata, lesions and tables: peak memory, which mustn't grow with the folder.

python benchmarks/embed_folder.py 5000 20000 100000     folders of these sizes, one after the other
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from comparison import memory_gb

FEW, MANY = 5_000, 20_000
SIDE_PX, DIM, NUM_KNOWN, CLASSES = 64, 192, 2_000, ("benign", "malignant")


def measure(folder: Path, rounds: int) -> dict:
    """Peak memory with four times the pictures, against that with a quarter of them."""
    few, many = (measured(num) for num in (FEW, MANY))
    ratio = few["peak_gb"] / many["peak_gb"]
    return {
        "ours": many["peak_gb"],
        "peer": few["peak_gb"],
        "peer_name": f"a quarter of the pictures ({MANY:,} and {FEW:,}; {many['pictures_per_s']:.0f} pictures/s)",
        "unit": "GB",
        "ratio": ratio,
        "spread": [round(ratio, 3)] * 2,
    }


def measured(num_pictures: int) -> dict:
    """In a process of its own, whose peak is its own."""
    command = [sys.executable, __file__, str(num_pictures), "--here"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def write_pictures(folder: Path, num_pictures: int) -> None:
    """Small JPEGs, a thousand in a folder; a hundred different ones."""
    from PIL import Image

    rng, encoded = np.random.default_rng(0), []
    for _ in range(100):
        buffer, coarse = io.BytesIO(), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX)).save(buffer, "JPEG")
        encoded.append(buffer.getvalue())
    for number in range(num_pictures):
        place = folder / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"ISIC_{number:07d}.jpg").write_bytes(encoded[number % 100])


def write_table(path: Path, num_pictures: int) -> None:
    """Two pictures a lesion."""
    number = np.arange(num_pictures)
    table = pd.DataFrame(
        {"image_id": [f"ISIC_{n:07d}" for n in number], "lesion_id": [f"IL_{n // 2:07d}" for n in number]}
    )
    table.assign(diameter_mm=1 + number % 9).to_csv(path, index=False)


def write_model(folder: Path) -> None:
    """A vision transformer of one block, with known lesions and a classifier, all random."""
    from embedding import checkpoint
    from slimp_pipeline.handover.classifier import Classifier
    from slimp_pipeline.handover.exported import Exported
    from slimp_pipeline.handover.known import KnownLesions
    from slimp_pipeline.parameters import ImageEncoderParams

    rng = np.random.default_rng(0)
    lesions = rng.standard_normal((NUM_KNOWN, DIM)).astype(np.float32)
    known = KnownLesions.fit("random", lesions, ["NV"] * NUM_KNOWN, list(map(str, range(NUM_KNOWN))), 0.01)
    weights = rng.standard_normal((DIM, len(CLASSES))).astype(np.float32)
    classifier = Classifier("random", list(CLASSES), weights, np.zeros(len(CLASSES), np.float32), 1.0, NUM_KNOWN)
    backbone = ImageEncoderParams(
        name="vit_tiny_patch16_224", image_size=32, arguments={"patch_size": 16, "depth": 1, "embed_dim": DIM}
    )
    folder.mkdir()
    Exported(checkpoint(backbone), known=known, classifier=classifier).write(folder)


def run_here(num_pictures: int) -> dict:
    import torch

    from slimp_pipeline.datasets.parts import PartsDataset
    from slimp_pipeline.parameters import EmbeddingParams, IngestParams
    from slimp_pipeline.pipelines.embed import nodes

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_pictures(place / "pictures", num_pictures)
        write_table(place / "metadata.csv", num_pictures)
        write_model(place / "model")
        settings = EmbeddingParams(images=place / "pictures", metadata=place / "metadata.csv", device="cpu")
        Path("/proc/self/clear_refs").write_text("5")  # from here on, the peak is this computation's
        started = time.perf_counter()
        request = nodes.look(settings, place / "model")
        embedded = nodes.embed(request, settings, IngestParams(num_processes=1), str(place / "running"))
        parts, ledger = nodes.tell(request, embedded, settings)
        pictures, lesions = (PartsDataset(filepath=str(place / f"{of}.parquet")) for of in ("pictures", "lesions"))
        pictures.save(parts)
        lesions.save(nodes.pool(pictures.load()))
        told = nodes.summarise(request, ledger, pictures.load(), lesions.load(), {}, settings)
        seconds = time.perf_counter() - started
    assert (told["num_embedded"], told["num_lesions"]) == (num_pictures, num_pictures // 2)
    return {
        "num_pictures": num_pictures,
        "seconds": round(seconds, 1),
        "pictures_per_s": round(num_pictures / seconds, 1),
        "peak_gb": round(memory_gb(), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_pictures", type=int, nargs="+")
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    for num_pictures in given.num_pictures:
        print(json.dumps((run_here if given.here else measured)(num_pictures)), flush=True)


if __name__ == "__main__":
    main()
