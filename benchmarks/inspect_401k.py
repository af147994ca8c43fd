"""Suspects among 401,059 pictures by generated embeddings of 384 numbers: seconds, and memory beside the embeddings.

python benchmarks/inspect_401k.py 25000 50000 100000     smaller cohorts: how both grow
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from comparison import memory_gb

NUM_ROWS, DIM, PICTURES_PER_PATIENT = 401_059, 384, 385
LIMIT_GB = 2.0  # beside the embeddings
NUM_COPIES = 1000  # planted, to see that what is found is right


def measure(folder: Path, rounds: int) -> dict:
    """Memory against the aim; seconds are reported beside."""
    run = measured(NUM_ROWS, "auto")
    return {
        "ours": run["beside_gb"],
        "peer": LIMIT_GB,
        "peer_name": f"aim ({run['seconds']:.0f} s on {run['device']}), GB beside the embeddings",
        "unit": "GB",
        "ratio": LIMIT_GB / run["beside_gb"],
        "spread": [round(LIMIT_GB / run["beside_gb"], 3)] * 2,
    }


def measured(num_rows: int, device: str) -> dict:
    """In a process of its own, whose peak is its own."""
    command = [sys.executable, __file__, str(num_rows), "--device", device, "--here"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def generate(num_rows: int) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Pictures of patients who differ, two labels, and copies with a little noise."""
    rng = np.random.default_rng(0)
    patient_N = np.arange(num_rows) // PICTURES_PER_PATIENT
    embedding_ND = rng.standard_normal((num_rows, DIM), dtype=np.float32)
    embedding_ND += 0.5 * rng.standard_normal((patient_N[-1] + 1, DIM), dtype=np.float32)[patient_N]
    label_N = rng.random(num_rows) < 0.001
    embedding_ND[label_N, :8] += 1
    hash_N = rng.integers(2**64, size=num_rows, dtype=np.uint64)
    copies, originals = rng.permutation(num_rows)[: 2 * NUM_COPIES].reshape(2, -1)
    embedding_ND[copies] = embedding_ND[originals] + 0.1 * rng.standard_normal((NUM_COPIES, DIM), dtype=np.float32)
    hash_N[copies] = hash_N[originals] ^ np.uint64(1)
    ids = np.array([f"ISIC_{n:07d}" for n in range(num_rows)])
    pictures = pd.DataFrame(
        {
            "image_id": ids,
            "lesion_id": ids,
            "patient_id": np.char.add("IP_", patient_N.astype(str)),
            "diagnosis": np.where(label_N, "malignant", "benign"),
            "sha256": np.char.add("s", ids),
            "perceptual_hash": hash_N,
        }
    )
    pictures["original"] = -1
    pictures.loc[copies, "original"] = originals
    measures = pd.DataFrame({"image_id": ids, "width_px": 127, "height_px": 127})
    for name, mean in {"darkest_shade": 60, "brightest_shade": 190, "entropy_bits": 6.5, "sharpness": 0.4}.items():
        measures[name] = mean * (1 + 0.1 * rng.standard_normal(num_rows))
    return pictures, embedding_ND, measures


def run_here(num_rows: int, device: str) -> dict:
    import torch

    from slimp_pipeline.parameters import EvaluationParams, InspectionParams
    from slimp_pipeline.processes.heap import trim_heap
    from slimp_pipeline.quality.suspects import find_suspects
    from slimp_pipeline.training.device import pick_device

    pictures, embedding_ND, measures = generate(num_rows)
    evaluation = EvaluationParams(device=device)
    if pick_device(evaluation.device).type == "cuda":
        torch.zeros(1, device="cuda")  # its libraries aren't this computation's
    trim_heap()
    Path("/proc/self/clear_refs").write_text("5")  # from here on, the peak is this computation's
    before_gb, started, cpu_started = memory_gb("VmRSS"), time.perf_counter(), time.process_time()
    settings = InspectionParams(max_suspects=2 * NUM_COPIES)
    suspects = find_suspects(pictures, embedding_ND, measures, settings, evaluation, hash_bits=3)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    pairs = suspects[suspects["kind"] == "near_duplicate"].head(NUM_COPIES)
    found = set(map(frozenset, zip(pairs["image_id"], pairs["other_image_id"], strict=True)))
    ids, copies = pictures["image_id"].to_numpy(), np.flatnonzero(pictures["original"] >= 0)
    wanted = {frozenset((ids[row], ids[pictures["original"].iloc[row]])) for row in copies}
    return {
        "num_rows": num_rows,
        "device": str(pick_device(evaluation.device)),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "embeddings_gb": round(embedding_ND.nbytes / 1e9, 3),
        "beside_gb": round(memory_gb() - before_gb, 3),
        "copies_found": len(found & wanted) / len(wanted),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_rows", type=int, nargs="+")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    for num_rows in given.num_rows:
        print(json.dumps((run_here if given.here else measured)(num_rows, given.device)), flush=True)


if __name__ == "__main__":
    main()
