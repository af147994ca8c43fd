"""Evaluation at the size of real cohorts, on ready embeddings: seconds and peak memory, in a process of its own.

Protocols: linear probe, k-NN, baselines, low-shot and retrieval (image to image); then metrics with intervals, groups.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from comparison import memory_gb
from features_401k import build_features, cohort_spec
from features_401k import generate as generate_lesions


@dataclass(frozen=True)
class Size:
    """A cohort to be made up, and the aim."""

    num_rows: int
    num_patients: int
    class_shares: tuple[float, ...]
    width: int
    num_folds: int
    label: str
    limit_s: float
    limit_gb: float


SIZES = {
    "milk10k": Size(6_288, 3_144, (0.4, 0.2, 0.13, 0.09, 0.06, 0.04, 0.03, 0.02, 0.01, 0.01, 0.01), 1280, 2,
                    "diagnosis", 900, 8),
    "slice3d": Size(401_059, 1_042, (0.999, 0.001), 384, 5, "malignant", 3600, 8),
}  # fmt: skip
METHODS = ("slimp", "initial_weights")


def measure(folder: Path, name: str) -> dict:
    """Seconds against the aim; peak memory is reported beside."""
    size = SIZES[name]
    done = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True, check=True)
    run = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "ours": run["seconds"],
        "peer": size.limit_s,
        "peer_name": f"aim (peak memory {run['peak_gb']:.1f} GB, aim {size.limit_gb:g} GB), s",
        "unit": "s",
        "ratio": size.limit_s / run["seconds"],
        "spread": [round(size.limit_s / run["seconds"], 3)] * 2,
        "stages": run["stages"],
    }


def main() -> None:
    from slimp_pipeline.evaluation.audits.subgroups import subgroup_table
    from slimp_pipeline.evaluation.measures.measure import measure_all
    from slimp_pipeline.evaluation.protocols import retrieval, run
    from slimp_pipeline.evaluation.target import TargetCohort
    from slimp_pipeline.parameters import EvaluationParams

    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=list(SIZES))
    parser.add_argument("--share", type=float, default=1.0, help="of the rows and patients")
    parser.add_argument("--protocols", nargs="*", default=["linear_probe", "knn", "baselines", "low_shot", "retrieval"])
    arguments = parser.parse_args()
    size = SIZES[arguments.name]
    rows, splits, encodings, embeddings = generate(size, arguments.share)
    stages: dict[str, float] = {}
    started, of_processor = time.perf_counter(), time.process_time()
    settings = EvaluationParams(
        label=size.label, protocols=arguments.protocols, probe={"strengths": [1, 10, 100, 1000]}
    )
    target = TargetCohort("made up", rows, splits, embeddings, encodings)
    predictions = _timed(stages, "probe, k-NN, baselines", run.predict, target, settings)
    few = _timed(stages, "low_shot", run.measure_low_shot, target, settings)
    found = _timed(stages, "retrieval", retrieval.retrieve, target, settings)
    results, _ = _timed(stages, "measure", measure_all, "made up", predictions, few, found, settings)
    _timed(stages, "groups", subgroup_table, predictions, rows, settings)
    seconds = time.perf_counter() - started
    of_processor = time.process_time() - of_processor
    report = {
        "seconds": seconds,
        "processor_seconds": of_processor,
        "peak_gb": memory_gb(),
        "stages": stages,
        "num_scores": len(predictions),
    }
    print(json.dumps({**report, "num_results": len(results)}))


def _timed(stages, name, function, *arguments):
    started, of_processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    stages[name] = round(time.perf_counter() - started, 1)
    of_processor = time.process_time() - of_processor
    print(
        f"{name}: {stages[name]} s, {of_processor:.1f} s of all processors, peak so far {memory_gb():.1f} GB",
        file=sys.stderr,
        flush=True,
    )
    return result


def generate(size: Size, share: float = 1.0):
    """Rows in SLICE-3D's fields, patient-disjoint folds, their encodings, and embeddings that tell a little."""
    from slimp_pipeline.evaluation.features.embed import evaluation_rows

    spec = cohort_spec("slice3d")
    rng = np.random.default_rng(0)
    num_rows = int(share * size.num_rows)
    lesions = generate_lesions(spec, num_rows, max(20, int(share * size.num_patients)))
    label_N = rng.choice(len(size.class_shares), num_rows, p=size.class_shares)
    lesions["diagnosis"] = pd.array([f"class {label}" for label in label_N], dtype="str")
    lesions["malignant"] = pd.array(label_N == len(size.class_shares) - 1, dtype="boolean")
    lesions["lesion_id"], lesions["store_index"] = lesions["image_id"], pd.array(range(num_rows), dtype="Int64")
    patients, splits, encodings = build_features(spec, lesions, num_folds=size.num_folds)
    rows = evaluation_rows(lesions, patients, splits)
    label_N = rows["diagnosis"].str.removeprefix("class ").astype(int).to_numpy()
    mixing = rng.normal(size=(40, size.width)).astype(np.float32)
    embeddings = {}
    for method in METHODS:
        latent = rng.normal(size=(num_rows, 40)).astype(np.float32)
        latent[:, : len(size.class_shares)] += np.eye(len(size.class_shares), dtype=np.float32)[label_N]
        embeddings[f"{method}.all.image"] = latent @ mixing + rng.normal(size=(num_rows, size.width)).astype(np.float32)
        for level in ("lesion", "patient"):
            embeddings[f"{method}.all.{level}"] = rng.normal(size=(num_rows, 64)).astype(np.float32)
    return rows, splits, encodings, embeddings


if __name__ == "__main__":
    main()
