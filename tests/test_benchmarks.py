"""Benchmarks stay runnable: they lie outside the package, and are run by hand."""

import importlib
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_benchmarks_find_what_they_measure(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    assert {"input_path_64", "training_step_vit_tiny"} < set(importlib.import_module("run").BENCHMARKS)
    assert len(importlib.import_module("input_path").crops(tmp_path, num_patients=1)) > 0
    assert importlib.import_module("training_step")._cohort(24)[0].num_patients == 3
