"""Contrast of 65,536 pairs, forward and backward: peak memory beside the projections, in a process of its own."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from comparison import memory_gb

NUM_ROWS, DIM, NUM_COMPARED = 65_536, 128, 4_096
LIMIT_GB = 2.0


def measure(folder: Path, rounds: int) -> dict:
    """Peak memory against one matrix of all logits in float32, of which the plain form holds several at a time.

    Beside it: time by pair of rows, and both forms in turn at a size that the plain one can take.
    """
    from slimp_pipeline.losses import info_nce

    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    large = json.loads(done.stdout.strip().splitlines()[-1])
    tiled, plain = [], []
    for _ in range(rounds + 1):
        tiled.append(_nanoseconds(info_nce._tiled, NUM_COMPARED))
        plain.append(_nanoseconds(info_nce._plain, NUM_COMPARED))
    times = f"{large['nanoseconds']:.1f} ns by pair of rows; at {NUM_COMPARED:,} rows"
    times += f" {statistics.median(tiled[1:]):.1f}, plain form {statistics.median(plain[1:]):.1f}"
    whole_gb = NUM_ROWS**2 * 4 / 1e9
    ratio = whole_gb / large["peak_gb"]
    return {
        "ours": large["peak_gb"],
        "peer": whole_gb,
        "peer_name": f"one matrix of all logits (aim {LIMIT_GB:g} GB; {times}), GB",
        "unit": "GB",
        "ratio": ratio,
        "spread": [round(ratio, 3), round(ratio, 3)],
    }


def _nanoseconds(form, num_rows: int) -> float:
    generator = torch.Generator().manual_seed(0)
    image, metadata = (torch.randn(num_rows, DIM, generator=generator).requires_grad_() for _ in range(2))
    groups = torch.randint(num_rows // 2, (num_rows,), generator=generator)
    unit = torch.nn.functional.normalize
    started = time.perf_counter()
    form(unit(image, dim=1), unit(metadata, dim=1), torch.tensor(0.07, requires_grad=True), groups).backward()
    return (time.perf_counter() - started) / num_rows**2 * 1e9


def main() -> None:
    from slimp_pipeline.losses import info_nce

    _nanoseconds(info_nce._tiled, NUM_COMPARED)  # what libraries take once is no form's
    image, metadata = (torch.randn(NUM_ROWS, DIM).requires_grad_() for _ in range(2))
    groups = torch.randint(NUM_ROWS // 2, (NUM_ROWS,))
    before, started = memory_gb("VmRSS"), time.perf_counter()
    info_nce.info_nce(image, metadata, temperature=torch.tensor(0.07, requires_grad=True), groups_B=groups).backward()
    seconds = time.perf_counter() - started
    print(json.dumps({"peak_gb": memory_gb() - before, "nanoseconds": seconds / NUM_ROWS**2 * 1e9}))


if __name__ == "__main__":
    main()
