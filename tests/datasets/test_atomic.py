"""Files whose versions appear whole or not at all."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError, Version

from slimp_pipeline.datasets import AtomicDataset

LATEST = Version(None, None)
ARRAYS = "slimp_pipeline.datasets.ArraysDataset"
TABLE = "slimp_pipeline.datasets.CSVTableDataset"
CASES = {
    "parquet": ({"type": "pandas.ParquetDataset"}, pd.DataFrame({"a": [1, 2], "b": ["x", None]})),
    "csv": ({"type": TABLE}, pd.DataFrame({"a": [1, 2], "b": ["x", "=y"]})),
    "json": ({"type": "json.JSONDataset", "save_args": {"indent": 2}}, {"a": [1, 2.5], "b": None}),
    "html": ({"type": "text.TextDataset"}, "<p>grün</p>"),
    "plotly": ({"type": "plotly.JSONDataset"}, go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))),
    "arrays": ({"type": ARRAYS}, {"b": np.arange(3), "a": np.ones((2, 2), dtype=np.float32)}),
}
LARGE = {
    "parquet": pd.DataFrame({"a": np.random.default_rng(0).random(20000)}),
    "csv": pd.DataFrame({"a": np.arange(20000)}),
    "json": list(range(20000)),
    "html": "x" * 200000,
    "plotly": go.Figure(go.Scatter(y=list(range(20000)))),
    "arrays": {"a": np.zeros(20000)},
}


def same(one, other):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif isinstance(one, dict) and "a" in one and isinstance(one["a"], np.ndarray):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    else:
        assert one == other


def maker(folder, kind, **options):
    return lambda version: AtomicDataset(
        filepath=str(folder / f"data.{kind}"), dataset=CASES[kind][0], version=version, **options
    )


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", list(CASES))
@pytest.mark.parametrize("version", [None, LATEST])
def test_what_was_saved_is_loaded(tmp_path, kind, version):
    dataset = maker(tmp_path, kind)(version)
    assert not dataset.exists()
    dataset.save(CASES[kind][1])
    assert dataset.exists()
    same(CASES[kind][1], dataset.load())
    assert not list(tmp_path.rglob(".unfinished*"))


def test_the_latest_version_is_loaded_and_older_ones_stay(tmp_path, save_version):
    make = maker(tmp_path, "json")
    for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        save_version(make, version, version)
    assert make(LATEST).load() == "2026-01-02T00.00.00.000Z"
    assert make(Version("2026-01-01T00.00.00.000Z", None)).load() == "2026-01-01T00.00.00.000Z"


def test_a_version_isnt_overwritten(tmp_path, save_version):
    make = maker(tmp_path, "json")
    save_version(make, "first", "v1")
    with pytest.raises(DatasetError):
        save_version(make, "second", "v1")
    assert make(LATEST).load() == "first"


def test_a_run_loads_the_version_that_it_wrote_though_a_newer_one_appears(tmp_path, save_version):
    make = maker(tmp_path, "json")
    own = make(Version(None, "2026-01-01T00.00.00.000Z"))
    own.save("mine")
    save_version(make, "another run's", "2026-01-02T00.00.00.000Z")
    assert own.load() == "mine" and make(LATEST).load() == "another run's"


def test_a_run_that_writes_beside_a_newer_version_says_nothing_and_reads_its_own(tmp_path, save_version, recwarn):
    make = maker(tmp_path, "json")
    save_version(make, "another run's", "2026-01-02T00.00.00.000Z")
    own = make(Version(None, "2026-01-01T00.00.00.000Z"))
    own.save("mine")
    assert own.load() == "mine" and not recwarn


def test_a_run_that_only_reads_keeps_to_the_version_that_it_met_first(tmp_path, save_version):
    make = maker(tmp_path, "json")
    save_version(make, "first", "2026-01-01T00.00.00.000Z")
    reader = make(LATEST)
    assert reader.load() == "first"
    save_version(make, "second", "2026-01-02T00.00.00.000Z")
    assert reader.load() == "first"


def test_a_pinned_version_is_loaded(tmp_path, save_version):
    make = maker(tmp_path, "json")
    for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        save_version(make, version, version)
    dataset = make(LATEST)
    dataset.pin("2026-01-01T00.00.00.000Z")
    assert dataset.load() == "2026-01-01T00.00.00.000Z"
