"""Packing goes on where it was broken off, and checks what is new; the result is that of one packing at once."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError
from PIL import Image

from slimp_pipeline.datasets.image_store import ImageStoreDataset
from slimp_pipeline.images import packing as packing_module
from slimp_pipeline.images.packed import PackedImages
from slimp_pipeline.images.packing import Packing, pack, packing_key, packing_of, stamps
from slimp_pipeline.images.store import SCHEMA
from slimp_pipeline.parameters import IngestParams

SETTINGS = IngestParams(num_processes=1)
NUM_IMAGES = 200  # four record batches
REFUSED = 70


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Small pictures of noise, and one file that is none."""
    folder = tmp_path_factory.mktemp("raw")
    random = np.random.default_rng(0)
    rows = []
    for number in range(NUM_IMAGES):
        path = folder / f"i{number:03}.png"
        Image.fromarray(random.integers(256, size=(3 + number % 5, 4, 3), dtype=np.uint8)).save(path)
        if number == REFUSED:
            path.write_bytes(b"no image")
        stat = path.stat()
        rows.append((path.stem, str(path), "", stat.st_size, stat.st_mtime_ns))
    return pd.DataFrame(rows, columns=["image_id", "path", "key", "size_bytes", "mtime_ns"])


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the images that were checked, one after the other."""
    ids: list[str] = []
    check = packing_module._check_batch

    def noted(entries, settings):
        ids.extend(entries["image_id"])
        return check(entries, settings)

    monkeypatch.setattr(packing_module, "_check_batch", noted)
    return ids


def dataset_in(folder: Path) -> ImageStoreDataset:
    return ImageStoreDataset(filepath=str(folder / "image_store.json"), path=str(folder / "store"))


def save(folder: Path, images: pd.DataFrame, limits: IngestParams = SETTINGS) -> pa.Table:
    """Pack into a folder; return the whole packed file."""
    dataset = dataset_in(folder)
    dataset.save(packing_of(images, limits))
    return read(dataset.load().path)


def read(path: Path) -> pa.Table:
    return pa.ipc.open_file(str(path)).read_all()


def at_once(images: pd.DataFrame, limits: IngestParams = SETTINGS) -> pa.Table:
    return pa.Table.from_batches(pack(images, limits), SCHEMA)


class Broken(Exception):
    """Stands for whatever ends a packing."""


def break_off(folder: Path, images: pd.DataFrame, after: int, limits: IngestParams = SETTINGS) -> None:
    def batches(packed: PackedImages) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(pack(images, limits, packed)):
            if number == after:
                raise Broken
            yield batch

    with pytest.raises(DatasetError):
        dataset_in(folder).save(Packing(packing_key(images, limits), batches))


def unfinished(folder: Path) -> list[Path]:
    return sorted((folder / "store").glob(".unfinished-*"))


def test_a_packing_that_was_broken_off_goes_on_at_its_batch(tmp_path, images, checked, caplog):
    caplog.set_level("INFO")
    break_off(tmp_path, images, after=2)
    checked.clear()
    stored = save(tmp_path, images)
    assert checked == images["image_id"].tolist()[128:]
    assert stored.equals(at_once(images))
    assert "128 of 200 images are taken over from earlier packings" in caplog.text
    assert not unfinished(tmp_path)


def test_only_images_that_were_added_are_checked_and_earlier_stores_stay(tmp_path, images, checked):
    some = images.drop(index=[0, 65, 199])
    first = save(tmp_path, some)
    checked.clear()
    both = save(tmp_path, images)
    assert checked == ["i000", "i065", "i199"]
    assert both.equals(at_once(images))
    stores = sorted((tmp_path / "store").glob("*.arrow"))
    assert len(stores) == 2 and any(read(path).equals(first) for path in stores)


def test_a_refused_image_is_taken_over_with_its_reason(tmp_path, images, checked):
    save(tmp_path, images.iloc[: REFUSED + 1])
    checked.clear()
    store = save(tmp_path, images.iloc[: REFUSED + 2])
    assert checked == [f"i{REFUSED + 1:03}"]
    assert store["refused"][REFUSED].as_py().startswith("not a picture") and not store["encoded"][REFUSED].is_valid


def test_what_could_not_be_read_is_read_once_it_can_be_and_nothing_else_is(tmp_path, images, checked):
    away, whole = Path(images["path"][7]), at_once(images)
    away.rename(tmp_path / "away")  # as a share that is down for a moment; what was no picture stays none
    first = save(tmp_path, images)
    assert first["refused"][7].as_py() == "can't be read: No such file or directory"
    checked.clear()
    assert save(tmp_path, images).equals(first) and checked == []
    (tmp_path / "away").rename(away)
    assert save(tmp_path, images).equals(whole) and checked == ["i007"]
    assert save(tmp_path, images).equals(whole) and checked == ["i007"]


def test_a_changed_file_is_checked_again(tmp_path, images, checked):
    save(tmp_path, images)
    checked.clear()
    changed = images.copy()
    changed.loc[3, "mtime_ns"] += 1
    changed.loc[5, "size_bytes"] += 1
    save(tmp_path, changed)
    assert checked == ["i003", "i005"]


@pytest.mark.parametrize("limits", [{"max_side_px": 16}, {"jpeg_quality": 50}, {"max_megapixels": 1.0}])
def test_other_limits_check_everything_again(tmp_path, images, checked, limits):
    save(tmp_path, images)
    checked.clear()
    save(tmp_path, images, SETTINGS.model_copy(update=limits))
    assert checked == images["image_id"].tolist()


@pytest.fixture(scope="module")
def half_packed(images: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A packing of all images that was broken off after three batches."""
    folder = tmp_path_factory.mktemp("half")
    break_off(folder, images, after=3)
    return unfinished(folder)[0].read_bytes()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_became_of_an_unfinished_file_the_store_is_the_same(tmp_path, images, half_packed, whole, data):
    """Cut off somewhere, or, as after a power cut, zeroed from there on."""
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    (tmp_path / "store").mkdir()
    at = data.draw(st.integers(0, len(half_packed) - 1))
    tail = bytes(len(half_packed) - at) if data.draw(st.booleans()) else b""
    (tmp_path / "store/.unfinished-7.arrow").write_bytes(half_packed[:at] + tail)
    stored = save(tmp_path, images)
    assert stored.equals(whole)
    assert not unfinished(tmp_path)


def test_an_image_whose_bytes_were_damaged_since_is_checked_again(tmp_path, images, half_packed, whole, checked):
    picture = whole["encoded"][9].as_py()
    (tmp_path / "store").mkdir()
    (tmp_path / "store/.unfinished-0.arrow").write_bytes(half_packed.replace(picture, picture[::-1]))
    assert save(tmp_path, images).equals(whole)
    assert checked == ["i009", *images["image_id"].tolist()[192:]]


@pytest.fixture(scope="module")
def whole(images: pd.DataFrame) -> pa.Table:
    return at_once(images)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_however_images_come_and_packings_break_the_store_is_that_of_one_packing(tmp_path, images, whole, data):
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    expected = {row["image_id"]: row for row in whole.to_pylist()}
    for _ in range(data.draw(st.integers(1, 4))):
        rows = data.draw(st.lists(st.integers(0, NUM_IMAGES - 1), unique=True, min_size=1, max_size=NUM_IMAGES))
        chosen = images.iloc[rows].reset_index(drop=True)
        num_batches = -(-len(rows) // 64)
        if (after := data.draw(st.integers(0, num_batches))) < num_batches:
            if not (tmp_path / "store" / f"{packing_key(chosen, SETTINGS)}.arrow").exists():
                break_off(tmp_path, chosen, after)
        else:
            assert save(tmp_path, chosen).to_pylist() == [expected[image_id] for image_id in chosen["image_id"]]
            assert not unfinished(tmp_path)
        assert len(unfinished(tmp_path)) <= 4


def test_packings_that_are_broken_off_again_and_again_take_no_more_room(tmp_path, images):
    for after in (3, 1, 2, 1, 3):
        break_off(tmp_path, images, after)
    assert len(unfinished(tmp_path)) == 2  # the largest, and the last


def test_stores_of_earlier_releases_are_opened_and_their_images_checked_once_more(tmp_path, images, checked):
    unstamped = pa.schema([field for field in SCHEMA if field.name != "stamp"])
    old = images.iloc[:100]
    (tmp_path / "store").mkdir()
    path = tmp_path / "store" / f"{packing_key(old, SETTINGS)}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, unstamped) as writer:
        writer.write_table(at_once(old).select(unstamped.names))
    checked.clear()
    dataset = dataset_in(tmp_path)
    dataset.save(Packing(packing_key(old, SETTINGS), partial(pack, old, SETTINGS)))
    assert checked == [] and dataset.load().table()["image_id"].tolist() == old["image_id"].tolist()
    save(tmp_path, images)
    assert checked == images["image_id"].tolist()


@contextmanager
def room_for(num_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_keeps_what_was_packed(tmp_path, images, checked):
    with (
        room_for(40_000),
        pytest.raises(DatasetError, match=r"the disk is full.*so far is kept. Free disk space and run"),
    ):
        save(tmp_path, images)
    checked.clear()
    assert save(tmp_path, images).equals(at_once(images))
    assert 0 < checked.index("i199") + 1 < NUM_IMAGES


def test_a_damaged_store_is_packed_again_from_what_is_whole_in_it(tmp_path, images, checked, caplog):
    store = tmp_path / "store" / f"{packing_key(images, SETTINGS)}.arrow"
    save(tmp_path, images)
    os.truncate(store, store.stat().st_size // 2)
    checked.clear()
    assert save(tmp_path, images).equals(at_once(images))
    assert 64 <= checked.index("i199") + 1 <= 136
    assert "is damaged: its images are packed again" in caplog.text


def test_equal_stamps_mean_equal_sources(images):
    stamp_N = stamps(images, SETTINGS)
    assert len(set(stamp_N.tolist())) == NUM_IMAGES
    same: Callable[..., np.ndarray] = partial(stamps, settings=SETTINGS.model_copy(update={"num_processes": 9}))
    assert (same(images) == stamp_N).all() and (same(images.iloc[::-1]) == stamp_N[::-1]).all()
