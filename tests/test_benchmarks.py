"""Benchmarks stay runnable: they lie outside the package, and are run by hand."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_benchmarks_find_what_they_measure(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    names = {"input_path_64", "embedding_vit_tiny", "training_step_vit_tiny"}
    assert names < set(importlib.import_module("run").BENCHMARKS)
    input_path, peers = (importlib.import_module(name) for name in ("input_path", "peers"))
    store = input_path.crops(tmp_path, num_patients=1)
    (theirs,) = input_path._theirs(peers.PerImage(store, peers.torchvision_pil(16)), 0, [[0, 1]])
    ours = next(iter(input_path._ours(store, 16, 2, 0, [[0, 1]])))
    assert ours.shape == theirs.shape == (2, 3, 16, 16)
    assert importlib.import_module("embedding")._encoding().lesion.names("numeric") == ["diameter_mm"]
    assert importlib.import_module("cohort").cohort(24)[0].num_patients == 3


def test_planted_copies_are_found_among_generated_embeddings(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    run = importlib.import_module("inspect_401k").run_here(2_500, "cpu")
    assert run["copies_found"] == 1 and run["beside_gb"] < 1


def test_every_row_for_a_gpu_is_measured_also_where_little_is_installed(tmp_path):
    """On the CPU, with tiny networks; without what such a machine was seen to lack."""
    absent = ["pydantic", "simplejpeg", "h5py", "imagehash", "openpyxl", "pandera"]
    for name in absent:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name}')")
    command = ["sh", str(BENCHMARKS / "gpu.sh"), "--device", "cpu", "--small"]
    given = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told, _, *rows = ran.stdout.splitlines()[1:]
    assert all(name in told for name in absent)
    *rows, last = rows
    assert last.endswith("s in all") and len(rows) == 11
    assert not [row for row in rows if "failed" in row or "not measured" in row]
