"""Bytes of raw images: read within limits, or refused with the reason."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from slimp_pipeline.images.check import ImageRefused
from slimp_pipeline.images.raw_images import RawImages, memory_per_image
from slimp_pipeline.parameters import IngestParams

SMALL = IngestParams(max_file_mb=1)


def refusal(path: Path, key: str = "", settings: IngestParams = SMALL) -> str:
    with RawImages(settings) as raw_images, pytest.raises(ImageRefused) as refused:
        raw_images.read(str(path), key)
    return str(refused.value)


def open_files() -> int:
    return h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)


def test_files_and_entries_are_read_in_any_order_and_closed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    for name in ("x", "y"):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file["I1"], file["I2"] = np.void(f"{name}1".encode()), np.void(f"{name}2".encode())
    asked = [("x.hdf5", "I1"), ("a.png", ""), ("x.hdf5", "I2"), ("y.hdf5", "I1"), ("x.hdf5", "I1")]
    before = open_files()
    with RawImages(SMALL) as raw_images:
        read = [raw_images.read(str(tmp_path / name), key) for name, key in asked]
        assert open_files() == before + 1
    assert read == [b"x1", b"a", b"x2", b"y1", b"x1"]
    assert open_files() == before


def test_a_larger_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**40)  # 1 TiB of nothing
    assert refusal(tmp_path / "huge.png") == "1,099,511.6 MB: more than the 1 MB that ingest.max_file_mb allows"


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refusal(tmp_path / "pipe.jpg") == "no regular file"
    assert refusal(tmp_path) == "can't be read: Is a directory"
    assert refusal(tmp_path / "gone.jpg") == "can't be read: No such file or directory"


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(b"a")
    monkeypatch.setattr(os, "open", forbidden)
    assert refusal(tmp_path / "a.png") == "can't be read: Permission denied"


def test_an_hdf5_file_that_is_none_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "broken.hdf5").write_bytes(b"half a download")
    with h5py.File(tmp_path / "whole.hdf5", "w") as file:
        file["I"] = np.void(b"1")
    with RawImages(SMALL) as raw_images:
        for _ in range(2):
            with pytest.raises(ImageRefused, match=r"can't be read: .*file signature not found"):
                raw_images.read(str(tmp_path / "broken.hdf5"), "I")
        assert raw_images.read(str(tmp_path / "whole.hdf5"), "I") == b"1"


# In a process of its own: that of the tests may keep as much of what it was given before, and freed.
READ_WITH_LITTLE_MEMORY = """
import sys
from slimp_pipeline.images.limits import memory_limit
from slimp_pipeline.images.raw_images import RawImages
from slimp_pipeline.parameters import IngestParams
with memory_limit(100_000_000), RawImages(IngestParams(max_file_mb=1)) as raw_images:
    raw_images.read(sys.argv[1], "I")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="the limit of memory works on Linux alone")
def test_a_block_that_unpacks_to_more_than_it_declares_takes_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bomb.hdf5", "w") as file:
        dataset = file.create_dataset("I", (100,), np.uint8, chunks=(100,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(400_000_000)))
    command = [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, tmp_path / "bomb.hdf5"]
    errors = subprocess.run(command, capture_output=True, text=True).stderr
    assert "ImageRefused: can't be read: " in errors


def test_the_memory_of_an_image_follows_the_limits_of_its_size() -> None:
    small = memory_per_image(IngestParams(max_megapixels=1, max_file_mb=1))
    assert small < memory_per_image(IngestParams(max_megapixels=2, max_file_mb=1))
    assert small < memory_per_image(IngestParams(max_megapixels=1, max_file_mb=2))
    assert memory_per_image(IngestParams()) < 3e9
