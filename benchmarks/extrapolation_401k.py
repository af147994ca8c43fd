"""Nearest reference lesions among 401,059 x 384: queries per second against the bare product and top-k in float32."""

import time
from pathlib import Path

import numpy as np
import torch

from comparison import compare

NUM_REFERENCES, DIM, NUM_QUERIES, ROWS_PER_CHUNK = 401_059, 384, 2_000, 65_536


def measure(folder: Path, rounds: int) -> dict:
    """The peer is the ceiling: it excludes no row of the same patient, and rounds as it comes."""
    from slimp_pipeline.extrapolation.neighbours import nearest

    rng = np.random.default_rng(0)
    path = folder / "reference.npy"
    reference_RD = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=(NUM_REFERENCES, DIM))
    for start in range(0, NUM_REFERENCES, ROWS_PER_CHUNK):
        rows = slice(start, min(start + ROWS_PER_CHUNK, NUM_REFERENCES))
        reference_RD[rows] = rng.standard_normal((rows.stop - rows.start, DIM), dtype=np.float32)
    reference_RD = np.load(path, mmap_mode="r")
    query_QD = rng.standard_normal((NUM_QUERIES, DIM), dtype=np.float32)
    keys = [rng.integers(1_000, size=NUM_QUERIES)], [rng.integers(1_000, size=NUM_REFERENCES)]
    ours, peer = [], []
    for _ in range(min(rounds, 3)):
        started = time.perf_counter()
        nearest(
            query_QD,
            reference_RD,
            1,
            device=torch.device("cpu"),
            rows_per_chunk=ROWS_PER_CHUNK,
            query_keys=keys[0],
            reference_keys=keys[1],
        )
        ours.append(NUM_QUERIES / (time.perf_counter() - started))
        started = time.perf_counter()
        bare(query_QD, reference_RD)
        peer.append(NUM_QUERIES / (time.perf_counter() - started))
    return compare(ours, peer, "torch product and top-k, float32, nothing excluded", "queries/s")


def bare(query_QD: np.ndarray, reference_RD: np.ndarray) -> None:
    query = torch.nn.functional.normalize(torch.from_numpy(query_QD), dim=1)
    for start in range(0, len(reference_RD), ROWS_PER_CHUNK):
        chunk = torch.from_numpy(np.array(reference_RD[start : start + ROWS_PER_CHUNK]))
        chunk = torch.nn.functional.normalize(chunk, dim=1)
        for first in range(0, len(query), 512):
            (query[first : first + 512] @ chunk.T).topk(1, dim=1)
