"""Versions in a bucket: written by one machine and read by another, as from a folder."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from kedro.io import DatasetError, Version

from slimp_pipeline.datasets import AtomicDataset, FilesDataset, ImageStoreDataset, VersionsDataset
from slimp_pipeline.images.packing import Packing
from slimp_pipeline.images.store import SCHEMA

LATEST = Version(None, None)
PARQUET = {"type": "pandas.ParquetDataset"}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go on as on another machine: with a cache that is empty."""
    return lambda: monkeypatch.setenv("SLIMP_CACHE", str(tmp_path / "other_cache"))


def table(s3, load=None, save=None) -> AtomicDataset:
    return AtomicDataset(filepath=f"{s3.url}/table.parquet", dataset=PARQUET, version=Version(load, save))


def test_versions_of_files_are_found_pinned_and_never_overwritten(s3, elsewhere):
    assert not table(s3).exists()
    for version in ("v1", "v2"):
        table(s3, save=version).save(pd.DataFrame({"version": [version]}))
    elsewhere()
    latest = table(s3, save="v3")
    assert latest.exists() and latest.list_versions(full_path=False) == ["v2", "v1"]
    assert latest.load()["version"].item() == "v2" and latest.address == f"{s3.url}/table.parquet/v2/table.parquet"
    assert table(s3, load="v1").load()["version"].item() == "v1"
    every = VersionsDataset(filepath=f"{s3.url}/table.parquet", dataset=PARQUET).load()
    assert {name: load()["version"].item() for name, load in every.items()} == {"v1": "v1", "v2": "v2"}
    with pytest.raises(DatasetError, match="must not exist"):
        table(s3, save="v1").save(pd.DataFrame({"version": ["another"]}))
    with pytest.raises(DatasetError, match=f"there is no {s3.url}/table.parquet/v9/table.parquet"):
        table(s3, load="v9").load()


def test_an_earlier_version_is_taken_over_byte_for_byte(s3, elsewhere):
    table(s3, save="v1").save(pd.DataFrame({"number": np.arange(9)}))
    elsewhere()
    run = table(s3, save="v2")
    assert run.finished("v0") is None
    run.save(run.finished("v1"))
    sizes = s3.sizes()
    assert sizes["table.parquet/v1/table.parquet"] == sizes["table.parquet/v2/table.parquet"]
    pd.testing.assert_frame_equal(run.load(), table(s3, load="v1").load())


def test_what_cant_be_uploaded_is_no_version(s3):
    table(s3, save="v1").save(pd.DataFrame({"version": ["v1"]}))
    s3.refuse_keys(refuse=True)
    with pytest.raises(DatasetError, match="denies access"):
        table(s3, save="v2").save(pd.DataFrame({"version": ["v2"]}))
    s3.refuse_keys(refuse=False)
    assert table(s3).load()["version"].item() == "v1"


def test_folders_come_whole(s3, elsewhere):
    files = {"a.svg": b"<svg/>", "b.png": bytes(9)}
    FilesDataset(filepath=f"{s3.url}/figures", version=Version(None, "v1")).save(files)
    elsewhere()
    assert FilesDataset(filepath=f"{s3.url}/figures", version=LATEST).load() == files


@pytest.fixture
def packing():
    """Two pictures; counts how often they are packed."""
    packed = []

    def batches(_) -> Iterator[pa.RecordBatch]:
        packed.append(1)
        rows = [{"image_id": name, "encoded": name.encode()} for name in ("one", "two")]
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)

    return Packing("key", batches), packed


def store(s3, save=None) -> ImageStoreDataset:
    return ImageStoreDataset(
        filepath=f"{s3.url}/image_store.json", path=f"{s3.url}/image_store", version=Version(None, save)
    )


def test_images_are_packed_once_and_mapped_into_memory_from_the_cache(s3, elsewhere, tmp_path, packing):
    images, packed = packing
    store(s3, save="v1").save(images)
    elsewhere()
    store(s3, save="v2").save(images)
    opened = store(s3).load()
    assert len(packed) == 1 and bytes(opened.encoded(1)) == b"two"
    assert opened.path.is_relative_to(tmp_path / "other_cache") and opened.path.name == "key.arrow"
    assert [key for key in s3.sizes() if key.startswith("image_store/")] == ["image_store/key.arrow"]
    elsewhere_note = next(opened.path.parents[1].glob("image_store.json/v2/image_store.json"))
    assert json.loads(elsewhere_note.read_text(encoding="utf-8")) == {"packed": "key.arrow"}


def test_images_that_were_packed_and_not_uploaded_are_uploaded_by_the_next_run(s3, packing):
    images, packed = packing
    s3.refuse_keys(refuse=True)
    with pytest.raises((DatasetError, PermissionError), match="denies access"):
        store(s3, save="v1").save(images)
    s3.refuse_keys(refuse=False)
    unfinished = store(s3, save="v2")
    unfinished._folder.mkdir(parents=True)
    unfinished._pack(unfinished._folder / "key.arrow", images)  # and then the run was killed
    store(s3, save="v3").save(images)
    assert len(packed) == 1 and "image_store/key.arrow" in s3.sizes()
