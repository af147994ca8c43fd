"""`ingest`, `features` and duplicates on 401,059 and 4,010,590 rows: is ten times as much ten times as long?

python benchmarks/rows_4m.py ingest 401059      one figure: seconds of processor time, peak memory
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from comparison import memory_gb
from features_401k import build_features, cohort_spec, generate

SMALL, LARGE = 401_059, 4_010_590


def measure(folder: Path, rounds: int) -> dict[str, dict]:
    """Seconds of processor time for the large table, against ten times those for the small one."""
    return {stage: _measure(stage) for stage in STAGES}


def _measure(stage: str) -> dict:
    small, large = (_told(stage, num_rows) for num_rows in (SMALL, LARGE))
    ratio = LARGE / SMALL * small["seconds"] / large["seconds"]
    return {
        "ours": large["seconds"],
        "peer": LARGE / SMALL * small["seconds"],
        "peer_name": f"10 times as long as for {SMALL:,} rows (peak memory {small['peak_gb']:.1f} and "
        f"{large['peak_gb']:.1f} GB)",
        "unit": "s",
        "ratio": ratio,
        "spread": [round(ratio, 3), round(ratio, 3)],
    }


def _told(stage: str, num_rows: int) -> dict:
    command = [sys.executable, __file__, stage, str(num_rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{stage} of {num_rows:,} rows: {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def ingest(num_rows: int, folder: Path) -> float:
    """Read the table, match images, link them, digest it all; the images themselves are packed elsewhere."""
    from slimp_pipeline.cohorts.fabricated.tbp import fabricate_tbp
    from slimp_pipeline.cohorts.files.raw_files import COLUMNS
    from slimp_pipeline.cohorts.matched_files import match_files
    from slimp_pipeline.cohorts.rows.reader import read_rows
    from slimp_pipeline.tables.lesions import link_images

    spec = cohort_spec("slice3d")
    fabricate_tbp(folder, num_patients=150, seed=1)
    head, *lines = (folder / "train-metadata.csv").read_text().splitlines()
    rows = (lines[number % len(lines)].split(",", 1)[1] for number in range(num_rows))
    with (folder / "rows.csv").open("w") as file:
        file.write(f"{head}\n")
        file.writelines(f"ISIC_{number:07d},{row}\n" for number, row in enumerate(rows))
    ids = [f"ISIC_{number:07d}" for number in range(num_rows)]
    files = pd.DataFrame({"role": "image", "image_id": ids, "path": "images.hdf5", "key": ids, "size_bytes": 0})
    files = files.assign(mtime_ns=0, unused="", reason="")[COLUMNS]
    stored = pd.DataFrame({"image_id": ids, "sha256": ids, "refused": pd.array([None] * num_rows, dtype="str")})
    started = time.process_time()
    reading = read_rows(spec, {0: folder / "rows.csv"})
    link_images(spec, reading, match_files(spec, reading, files), stored, 0.05)
    return time.process_time() - started


def features(num_rows: int, folder: Path) -> float:
    """Patients, splits, duplicates of a generated hash each, encodings."""
    spec = cohort_spec("slice3d")
    lesions = generate(spec, num_rows)
    started = time.process_time()
    build_features(spec, lesions)
    return time.process_time() - started


def duplicates(num_rows: int, folder: Path) -> float:
    """Hashes drawn at random, a hundredth of them near another."""
    from slimp_pipeline.tables.duplicates import find_duplicates

    rng, near = np.random.default_rng(0), num_rows // 100
    hashes = rng.integers(2**64, size=num_rows, dtype=np.uint64)
    hashes[:near] = hashes[-near:] ^ (np.uint64(1) << rng.integers(64, size=near).astype(np.uint64))
    names = [str(number) for number in range(num_rows)]
    images = pd.DataFrame({"image_id": names, "lesion_id": names, "sha256": names, "perceptual_hash": hashes})
    images = images.assign(patient_id=[names[number % 1042] for number in range(num_rows)], fold=0)
    started = time.process_time()
    assert len(find_duplicates(images, 3)) >= near
    return time.process_time() - started


STAGES = {"ingest": ingest, "features": features, "duplicates": duplicates}


def main(stage: str, num_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds = STAGES[stage](num_rows, Path(folder))
    print(json.dumps({"seconds": seconds, "peak_gb": memory_gb()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
