"""Benchmarks stay runnable: they lie outside the package, and are run by hand."""

import importlib
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
    assert importlib.import_module("training_step")._cohort(24)[0].num_patients == 3
