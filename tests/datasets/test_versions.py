"""Every version of an artifact at once."""

import pandas as pd
import pytest
from kedro.io import DatasetError, Version

from slimp_pipeline.datasets import AtomicDataset, VersionsDataset

PARQUET = {"type": "pandas.ParquetDataset"}
NAMES = ["2026-01-02T00.00.00.000Z", "2025-12-31T23.59.59.999Z", "2026-01-10T00.00.00.000Z"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clinic" / "predictions.parquet"


@pytest.fixture
def versions(path):
    return VersionsDataset(filepath=str(path), dataset=PARQUET)


def write(path, version):
    (path / version).mkdir(parents=True)
    pd.DataFrame({"version": [version]}).to_parquet(path / version / path.name)


@pytest.fixture
def saved(path):
    """Three versions, written in no order; the table of each holds its name."""
    for version in NAMES:
        write(path, version)


def test_all_versions_are_there_oldest_first_each_loading_its_own(saved, versions):
    loaded = versions.load()
    assert list(loaded) == sorted(NAMES)
    assert {name: load()["version"].item() for name, load in loaded.items()} == {name: name for name in NAMES}
    assert versions.exists()


def test_versions_are_those_that_the_artifacts_own_entry_saves_and_its_newest_the_one_it_loads(
    saved, versions, path, save_version
):
    def own(version):
        return AtomicDataset(filepath=str(path), dataset=PARQUET, version=version)

    save_version(own, pd.DataFrame({"version": ["own"]}), "2026-01-11T00.00.00.000Z")
    *_, newest = versions.load().values()
    assert newest()["version"].item() == "own"
    pd.testing.assert_frame_equal(newest(), own(Version(None, None)).load())


def test_no_version_is_read_before_it_is_asked_for(saved, versions, path):
    broken = path / NAMES[0] / path.name
    broken.write_text("no table")
    loaded = versions.load()
    assert list(loaded) == sorted(NAMES)
    assert loaded[NAMES[1]]()["version"].item() == NAMES[1]
    with pytest.raises(DatasetError):
        loaded[NAMES[0]]()


def test_a_version_that_is_not_finished_is_none(saved, versions, path):
    (path / "2026-02-01T00.00.00.000Z").mkdir()
    (path / "2026-02-02T00.00.00.000Z").mkdir()
    (path / "2026-02-02T00.00.00.000Z" / f".unfinished-{path.name}").write_text("half a table")
    assert list(versions.load()) == sorted(NAMES)


def test_versions_of_other_artifacts_in_the_folder_are_none(saved, versions, path):
    other = path.parent / "results.parquet" / NAMES[0]
    other.mkdir(parents=True)
    (other / "results.parquet").write_text("another")
    (path / "2026-03-01T00.00.00.000Z").mkdir()
    (path / "2026-03-01T00.00.00.000Z" / "results.parquet").write_text("another")
    assert list(versions.load()) == sorted(NAMES)


def test_a_version_that_appears_later_is_seen_by_the_next_load(saved, versions, path):
    before = versions.load()
    write(path, "2026-04-01T00.00.00.000Z")
    assert len(before) == 3 and list(versions.load())[-1] == "2026-04-01T00.00.00.000Z"


def test_where_nothing_was_saved_there_are_no_versions(versions):
    assert versions.load() == {} and not versions.exists()


def test_saving_is_refused_and_leaves_no_trace(saved, versions, path):
    files = sorted(path.parent.rglob("*"))
    with pytest.raises(DatasetError, match=r"predictions\.parquet: versions are only read together"):
        versions.save({"2026-05-01T00.00.00.000Z": pd.DataFrame({"version": ["new"]})})
    with pytest.raises(DatasetError):
        versions.save(None)
    assert sorted(path.parent.rglob("*")) == files
