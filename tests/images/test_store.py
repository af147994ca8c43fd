"""The image store and its dataset: what goes in comes out by row, and no unfinished packing is ever current."""

import errno
import hashlib
import io
import os
import pickle
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from kedro.io import DatasetError
from PIL import Image

from slimp_pipeline.datasets.image_store import ImageStoreDataset
from slimp_pipeline.images import packing as packing_module
from slimp_pipeline.images.packed import PackedImages
from slimp_pipeline.images.packing import Packing, pack, packing_key
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.parameters import IngestParams

NUM_IMAGES = 150  # three record batches
REFUSED = 70


def listing(paths: list[Path]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **{"image_id": path.stem, "path": str(path), "key": ""},
                **{"size_bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns},
            }
            for path in paths
        ]
    )


def packing(images: pd.DataFrame, settings: IngestParams) -> Packing:
    return Packing(packing_key(images, settings), partial(pack, images, settings))


def pack_into(dataset: ImageStoreDataset, images: pd.DataFrame, settings: IngestParams) -> ImageStore:
    dataset.save(packing(images, settings))
    return dataset.load()


def dataset_in(folder: Path) -> ImageStoreDataset:
    return ImageStoreDataset(filepath=str(folder / "image_store.json"), path=str(folder / "store"))


def files_in(folder: Path) -> list[Path]:
    """Packed files, whole or not; locks aside."""
    return [path for path in sorted(folder.iterdir()) if ".lock" not in path.name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(NUM_IMAGES):
        Image.new("RGB", (3, 2 + number % 4), (number, 0, 255 - number)).save(folder / f"i{number:03}.png")
    (folder / f"i{REFUSED:03}.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> pd.DataFrame:
    return listing(sorted(folder.iterdir()))


@pytest.fixture
def dataset(tmp_path: Path) -> ImageStoreDataset:
    return dataset_in(tmp_path)


@pytest.fixture(scope="module")
def store(images: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    dataset = dataset_in(tmp_path_factory.mktemp("packed"))
    return pack_into(dataset, images, IngestParams(num_processes=1))


def test_every_row_gives_the_bytes_of_its_image(store: ImageStore, images: pd.DataFrame) -> None:
    assert len(store) == NUM_IMAGES
    table = store.table()
    assert table["image_id"].tolist() == images["image_id"].tolist()
    for row, path in enumerate(images["path"]):
        if row != REFUSED:
            assert bytes(store.encoded(row)) == Path(path).read_bytes()
            assert table["sha256"][row] == hashlib.sha256(store.encoded(row)).hexdigest()
    assert table["height_px"][[0, 1, 149]].tolist() == [2, 3, 3]
    assert table["width_px"].dropna().eq(3).all()


def test_rows_with_an_image_are_given_its_hashes_in_their_order(store: ImageStore) -> None:
    rows = pd.DataFrame({"image_id": ["c", "none", "a"], "store_index": pd.array([7, None, 2], dtype="Int64")})
    found, table = store.pictures(rows), store.table()
    assert found["image_id"].tolist() == ["c", "a"]
    assert found["sha256"].tolist() == table["sha256"][[7, 2]].tolist()
    assert found["perceptual_hash"].tolist() == table["perceptual_hash"][[7, 2]].tolist()


def test_the_store_has_several_record_batches(store: ImageStore) -> None:
    assert pa.ipc.open_file(str(store.path)).num_record_batches == 3


def test_a_refused_image_keeps_its_row_and_reason_and_reading_it_says_so(store: ImageStore) -> None:
    refused = store.table()["refused"]
    assert refused[refused.notna()].to_dict() == {
        REFUSED: "not a picture in a format that is read (JPEG, PNG, TIFF, BMP, WebP, GIF of one frame)"
    }
    with pytest.raises(IndexError, match=f"row {REFUSED} of .* was refused"):
        store.encoded(REFUSED)


def test_hashes_keep_all_their_bits_beside_a_refused_image(store: ImageStore) -> None:
    table = store.table()
    assert table["perceptual_hash"].isna().any() and table["perceptual_hash"].notna().any()
    assert table["perceptual_hash"].dtype == "UInt64"


@pytest.mark.parametrize("row", [-1, NUM_IMAGES, 10_000])
def test_a_row_that_is_not_there_is_an_error(store: ImageStore, row: int) -> None:
    with pytest.raises(IndexError, match=f"has {NUM_IMAGES} rows, row {row} was asked for"):
        store.encoded(row)


@pytest.mark.parametrize("kept", [0, 7, 5000], ids=["nothing", "a few bytes", "half"])
def test_a_truncated_store_is_refused_with_the_command_that_packs_it_anew(
    store: ImageStore, tmp_path: Path, kept: int
) -> None:
    (tmp_path / "half.arrow").write_bytes(store.path.read_bytes()[:kept])
    with pytest.raises(OSError, match=r"half.arrow is damaged, .*`kedro run --pipeline=ingest` packs it anew"):
        ImageStore(tmp_path / "half.arrow")


def test_a_store_of_another_version_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    ids = pa.table({"image_id": ["i0"]})
    with pa.OSFile(str(tmp_path / "old.arrow"), "wb") as file, pa.ipc.new_file(file, ids.schema) as writer:
        writer.write_table(ids)
    with pytest.raises(
        OSError, match=r"old.arrow is of another version of this program: it has no encoded, .*\. `kedro run"
    ):
        ImageStore(tmp_path / "old.arrow")


def test_only_the_path_travels_when_the_store_is_pickled(store: ImageStore) -> None:
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    assert bytes(copy.encoded(149)) == bytes(store.encoded(149))
    assert len(copy) == NUM_IMAGES


def test_images_come_in_the_same_order_from_parallel_processes_and_earlier_packings(
    dataset: ImageStoreDataset, store: ImageStore, images: pd.DataFrame
) -> None:
    some = pack_into(dataset, images.iloc[::3], IngestParams(num_processes=1))
    for earlier in ([], [some.path]):
        packed = pa.Table.from_batches(pack(images, IngestParams(num_processes=2), PackedImages(earlier)), SCHEMA)
        assert packed.equals(pa.ipc.open_file(str(store.path)).read_all())


@pytest.mark.parametrize("change", [("_batches_per_task", lambda *_: 2), ("_BYTES_AT_ONCE", 200)])
def test_neither_the_size_of_a_task_nor_of_what_is_read_at_once_changes_the_store(
    store: ImageStore, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, change: tuple[str, Any]
) -> None:
    monkeypatch.setattr(packing_module, *change)
    packed = list(pack(images, IngestParams(num_processes=2)))
    assert [batch.num_rows for batch in packed] == [64, 64, 22]
    assert pa.Table.from_batches(packed).equals(pa.ipc.open_file(str(store.path)).read_all())


def test_record_batches_of_another_length_are_refused_before_a_wrong_picture_is_read(
    store: ImageStore, tmp_path: Path
) -> None:
    rows = pa.ipc.open_file(str(store.path)).read_all().combine_chunks().to_batches()[0]
    with pa.ipc.new_file(str(tmp_path / "odd.arrow"), SCHEMA) as writer:
        for start, end in ((0, 50), (50, 70), (70, 120), (120, 150)):
            writer.write_batch(rows.slice(start, end - start))
    odd = ImageStore(tmp_path / "odd.arrow")
    assert bytes(odd.encoded(49)) == bytes(store.encoded(49))
    with pytest.raises(OSError, match=r"odd.arrow is damaged, .*record batch 1 has 20 rows, the first has 50"):
        odd.encoded(50)


@pytest.mark.parametrize("as_value", [np.bytes_, np.void, partial(np.frombuffer, dtype=np.uint8)])
def test_hdf5_is_packed_by_key_as_official_byte_strings_or_otherwise(
    tmp_path: Path, folder: Path, dataset: ImageStoreDataset, as_value: Callable[[bytes], np.ndarray]
) -> None:
    path, names = tmp_path / "train-image.hdf5", ["i000", "i001", "i002"]
    with h5py.File(path, "w") as file:
        for name in names:
            file[name] = as_value((folder / f"{name}.png").read_bytes())
    entries = pd.concat([listing([path]).assign(image_id=name, key=name) for name in names], ignore_index=True)
    store = pack_into(dataset, entries, IngestParams(num_processes=1))
    assert store.table()["image_id"].tolist() == names
    assert [bytes(store.encoded(row)) for row in range(3)] == [(folder / f"{n}.png").read_bytes() for n in names]


def packed_rows(images: pd.DataFrame, settings: IngestParams) -> list[dict[str, Any]]:
    return [row for batch in pack(images, settings) for row in batch.to_pylist()]


def test_entries_of_hdf5_that_are_no_pictures_are_refused_one_by_one_and_the_others_packed(
    tmp_path: Path, folder: Path
) -> None:
    path, png = tmp_path / "images.hdf5", (folder / "i000.png").read_bytes()
    with h5py.File(path, "w") as file:
        file["first"], file["images/last"] = np.void(png), np.bytes_(png + bytes(5))
        file["group/jpeg"], file["pixels"] = np.void(png), np.zeros((4, 6, 3), np.uint8)
        file["out"], file["gone"] = h5py.ExternalLink("other.hdf5", "/I"), h5py.SoftLink("/nothing")
        file.create_dataset("large", (2**40,), np.uint8, chunks=(2**20,))
    keys = ["first", "group", "pixels", "out", "gone", "large", "absent", "images/last"]
    entries = pd.concat([listing([path]).assign(image_id=key, key=key) for key in keys], ignore_index=True)
    rows = packed_rows(entries, IngestParams(num_processes=1))
    assert [row["image_id"] for row in rows] == keys
    assert rows[0]["encoded"] == rows[-1]["encoded"] == png
    reasons = [
        "a group",
        r"shape \(4, 6, 3\)",
        "another file",
        "leads nowhere",
        "more than the 256 MB",
        "no such entry",
    ]
    assert all(re.search(reason, row["refused"]) for reason, row in zip(reasons, rows[1:-1], strict=True))


def test_hdf5_files_are_closed_after_packing(tmp_path: Path, folder: Path) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["I"] = np.void((folder / "i000.png").read_bytes())
    packed_rows(listing([tmp_path / "images.hdf5"]).assign(key="I"), IngestParams(num_processes=1))
    with h5py.File(tmp_path / "images.hdf5", "a"):  # refused while it is open for reading
        pass


def slow_picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400)).save(buffer, "JPEG", progressive=True)
    raw = buffer.getvalue()
    scan = raw[raw.rindex(b"\xff\xda") : -2]
    return raw[:-2] + scan * (20_000_000 // len(scan)) + raw[-2:]


@pytest.mark.parametrize("num_processes", [1, 2])
def test_limits_hold_in_every_process(folder: Path, tmp_path: Path, num_processes: int) -> None:
    for number in range(130):
        (tmp_path / f"i{number:03}.png").write_bytes((folder / "i000.png").read_bytes())
    (tmp_path / "i005.png").write_bytes(slow_picture())
    (tmp_path / "i100.png").write_bytes(slow_picture())
    with (tmp_path / "i129.png").open("wb") as file:
        file.truncate(2**40)
    settings = IngestParams(num_processes=num_processes, max_seconds_per_image=2)
    refused = {row["image_id"]: row["refused"] for row in packed_rows(listing(sorted(tmp_path.iterdir())), settings)}
    assert {image_id for image_id, reason in refused.items() if reason} == {"i005", "i100", "i129"}
    assert "max_seconds_per_image" in refused["i005"] and "max_seconds_per_image" in refused["i100"]
    assert "max_file_mb" in refused["i129"]


def test_a_process_that_is_killed_is_said_to_be_with_the_images_it_may_have_been_at(
    images: pd.DataFrame, dataset: ImageStoreDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_batch = packing_module._check_batch_apart

    def killed_at_the_second(entries: dict[str, list[Any]], settings: IngestParams) -> pa.RecordBatch:
        if "i064" in entries["image_id"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return check_batch(entries, settings)

    monkeypatch.setattr(packing_module, "_check_batch_apart", killed_at_the_second)
    said = (
        r"a process that checks images was killed while it worked on one of \d+ images \(i0\d\d to i149 in the list of "
        r"images\), most likely by the system for want of memory. Lower ingest.num_processes"
    )
    with pytest.raises(DatasetError, match=said):
        dataset.save(packing(images, IngestParams(num_processes=2)))
    monkeypatch.undo()
    assert len(pack_into(dataset, images, IngestParams(num_processes=2))) == NUM_IMAGES


def test_a_file_that_vanished_is_refused_and_the_others_are_packed(
    folder: Path, tmp_path: Path, dataset: ImageStoreDataset
) -> None:
    images = listing([folder / "i000.png", folder / "i001.png"])
    images.loc[0, "path"] = str(tmp_path / "gone.png")
    refused = pack_into(dataset, images, IngestParams(num_processes=1)).table()["refused"]
    assert refused[0] == "can't be read: No such file or directory"
    assert pd.isna(refused[1])


def test_no_images_make_an_empty_store(dataset: ImageStoreDataset, images: pd.DataFrame) -> None:
    store = pack_into(dataset, images.iloc[:0], IngestParams(num_processes=1))
    assert len(store) == 0
    assert store.table().columns.tolist() == [name for name in SCHEMA.names if name not in ("encoded", "stamp")]


def never(_: PackedImages) -> Iterator[pa.RecordBatch]:
    raise AssertionError("packed again")


def test_unchanged_raw_data_is_not_packed_again(dataset: ImageStoreDataset, images: pd.DataFrame) -> None:
    settings = IngestParams(num_processes=1)
    first = pack_into(dataset, images.head(3), settings)
    dataset.save(Packing(packing_key(images.head(3), settings), never))
    assert dataset.load().path == first.path


def test_the_key_holds_what_changes_the_store_and_nothing_else(images: pd.DataFrame) -> None:
    key = packing_key(images, IngestParams())
    assert key == packing_key(images.copy(), IngestParams(num_processes=7, max_quarantined_share=0.5))
    limits = ({"max_megapixels": 9.0}, {"max_file_mb": 9.0}, {"max_seconds_per_image": 9.0})
    for setting in ({"max_side_px": 300}, {"jpeg_quality": 80}, *limits):
        assert packing_key(images, IngestParams(**setting)) != key
    assert packing_key(images.assign(mtime_ns=images["mtime_ns"] + 1), IngestParams()) != key
    assert packing_key(images.assign(size_bytes=images["size_bytes"] + 1), IngestParams()) != key
    assert packing_key(images.iloc[1:], IngestParams()) != key
    assert packing_key(images.iloc[::-1], IngestParams()) != key


def test_a_changed_file_is_packed_again_and_becomes_current(tmp_path: Path, dataset: ImageStoreDataset) -> None:
    path, settings = tmp_path / "a.png", IngestParams(num_processes=1)
    Image.new("RGB", (2, 2), "red").save(path)
    first = pack_into(dataset, listing([path]), settings)
    Image.new("RGB", (2, 2), "blue").save(path)
    os.utime(path, ns=(1, 1))
    second = pack_into(dataset, listing([path]), settings)
    assert second.path != first.path
    assert bytes(second.encoded(0)) == path.read_bytes() != bytes(first.encoded(0))


def test_returning_to_earlier_data_makes_its_store_current_again_without_packing(
    dataset: ImageStoreDataset, images: pd.DataFrame
) -> None:
    settings = IngestParams(num_processes=1)
    first = pack_into(dataset, images.head(2), settings)
    pack_into(dataset, images.head(3), settings)
    dataset.save(Packing(packing_key(images.head(2), settings), never))
    assert dataset.load().path == first.path


def broken_after_one(images: pd.DataFrame, error: BaseException, _: PackedImages) -> Iterator[pa.RecordBatch]:
    yield next(pack(images.head(2), IngestParams(num_processes=1)))
    raise error


@pytest.mark.parametrize("error", [RuntimeError("worker died"), KeyboardInterrupt(), MemoryError()])
def test_a_packing_that_dies_leaves_the_previous_store_current_and_what_it_packed(
    dataset: ImageStoreDataset, images: pd.DataFrame, error: BaseException, tmp_path: Path
) -> None:
    previous = pack_into(dataset, images.head(2), IngestParams(num_processes=1))
    with pytest.raises((DatasetError, KeyboardInterrupt)):
        dataset.save(Packing("new", partial(broken_after_one, images, error)))
    assert dataset.load().path == previous.path
    assert [path.name for path in files_in(tmp_path / "store")] == [".unfinished-0.arrow", previous.path.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, which is always full, is Linux's")
def test_a_full_disk_is_told_apart_and_the_previous_store_stays(
    dataset: ImageStoreDataset, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = pack_into(dataset, images.head(2), IngestParams(num_processes=1))
    open_file: Callable[..., pa.NativeFile] = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", lambda path, mode: open_file("/dev/full", mode))
    with pytest.raises(DatasetError, match=r"couldn't be written \(the disk is full\); what was packed so far is kept"):
        dataset.save(packing(images, IngestParams(num_processes=1)))
    monkeypatch.undo()
    assert dataset.load().path == previous.path


def test_an_error_of_the_disk_within_the_packing_names_the_store(
    dataset: ImageStoreDataset, images: pd.DataFrame, tmp_path: Path
) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(DatasetError, match=r"new.arrow couldn't be written \(the disk is full"):
        dataset.save(Packing("new", partial(broken_after_one, images, error)))
    assert [path.name for path in files_in(tmp_path / "store")] == [".unfinished-0.arrow"]
    assert not dataset.exists()


def test_loading_before_anything_is_packed_names_the_command(dataset: ImageStoreDataset) -> None:
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"image store .*can't be opened.*kedro run --pipeline=ingest"):
        dataset.load()


def test_a_store_that_was_deleted_is_packed_anew(dataset: ImageStoreDataset, images: pd.DataFrame) -> None:
    store = pack_into(dataset, images.head(2), IngestParams(num_processes=1))
    store.path.unlink()
    with pytest.raises(DatasetError, match=r"can't be opened"):
        dataset.load()
    assert len(pack_into(dataset, images.head(2), IngestParams(num_processes=1))) == 2
