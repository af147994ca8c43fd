"""Entries of HDF5 files: read whole where they are the bytes of a picture, refused with the reason where not."""

import io
import re
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from slimp_pipeline.cohorts.files.hdf5_entry import NoPicture, read_entry


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), (10, 90, 200)).save(buffer, "PNG")
    return buffer.getvalue()


PAYLOADS = {"whole": png(), "ends in zero bytes": png() + bytes(7), "only zero bytes": bytes(9)}


def vlen(file: h5py.File, key: str, raw: bytes, shape: tuple[int, ...] = ()) -> None:
    dataset = file.create_dataset(key, shape, h5py.vlen_dtype(np.uint8))
    dataset[shape and 0] = np.frombuffer(raw, np.uint8)


def null_terminated(file: h5py.File, key: str, raw: bytes) -> None:
    """As C programs write strings: HDF5 itself would end them at the first zero byte."""
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(raw))
    group, _, name = key.rpartition("/")
    parent = file.require_group(group or "/").id
    dataset = h5py.h5d.create(parent, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(raw, f"S{len(raw)}"), mtype=kind)


WRITERS: dict[str, Callable[[h5py.File, str, bytes], None]] = {
    "fixed string": lambda file, key, raw: file.create_dataset(key, data=np.array(raw, f"S{len(raw)}")),
    "fixed string of one element": lambda file, key, raw: file.create_dataset(
        key, data=np.array([raw], f"S{len(raw)}")
    ),
    "null-terminated string": null_terminated,
    "opaque": lambda file, key, raw: file.create_dataset(key, data=np.void(raw)),
    "uint8": lambda file, key, raw: file.create_dataset(key, data=np.frombuffer(raw, np.uint8)),
    "int8": lambda file, key, raw: file.create_dataset(key, data=np.frombuffer(raw, np.int8)),
    "uint8, packed": lambda file, key, raw: file.create_dataset(
        key, data=np.frombuffer(raw, np.uint8), compression="gzip", shuffle=True, fletcher32=True, chunks=(8,)
    ),
    "uint8 that may grow": lambda file, key, raw: file.create_dataset(
        key, data=np.frombuffer(raw, np.uint8), maxshape=(None,)
    ),
    "vlen": vlen,
    "vlen of one element": lambda file, key, raw: vlen(file, key, raw, (1,)),
}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("writer", WRITERS)
def test_bytes_come_back_whole_however_they_were_written(tmp_path: Path, writer: str, payload: str) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        WRITERS[writer](file, "images/I1", PAYLOADS[payload])
    with h5py.File(tmp_path / "images.hdf5") as file:
        assert read_entry(file, "images/I1", max_mb=1) == PAYLOADS[payload]


def test_a_variable_string_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file.create_dataset("I1", data=b"no zero byte", dtype=h5py.string_dtype("ascii"))
    with h5py.File(tmp_path / "images.hdf5") as file:
        assert read_entry(file, "I1", max_mb=1) == b"no zero byte"


def test_a_link_within_the_file_is_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["store/I1"] = np.void(b"1")
        file["same"] = file["store/I1"]
        file["folder"] = h5py.SoftLink("/store")
        file["store/beside"] = h5py.SoftLink("I1")
    with h5py.File(tmp_path / "images.hdf5") as file:
        for key in ("same", "folder/I1", "store/beside", "folder/beside"):
            assert read_entry(file, key, max_mb=1) == b"1"


def unpacks_to(file: h5py.File, num_bytes: int) -> None:
    dataset = file.create_dataset("I", (num_bytes,), np.uint8, chunks=(num_bytes,), compression="gzip")
    dataset.id.write_direct_chunk((0,), zlib.compress(bytes(num_bytes)))


def named_type(file: h5py.File) -> None:
    file["I"] = np.dtype("f8")


def other_file(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("other.hdf5"), "w") as other:
        other["I"] = np.void(b"secret")
        other["images/I"] = np.void(b"secret")
    file["out"] = h5py.ExternalLink("other.hdf5", "/images")


def into_another_file(file: h5py.File) -> None:
    other_file(file)
    file["I"] = h5py.ExternalLink("other.hdf5", "/I")


def over_a_group_in_another_file(file: h5py.File) -> None:
    other_file(file)
    file["I"] = h5py.SoftLink("/out/I")


def virtual(file: h5py.File) -> None:
    other_file(file)
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource("other.hdf5", "I", (4,))
    file.create_virtual_dataset("I", layout)


def external(file: h5py.File) -> None:
    file.create_dataset("I", (20,), np.uint8, external=[("/etc/passwd", 0, 20)])


def in_a_circle(file: h5py.File) -> None:
    file["I"], file["J"] = h5py.SoftLink("/J"), h5py.SoftLink("/I")


REFUSED: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "absent": (lambda file: None, "the file holds no such entry"),
    "below a picture": (lambda file: file.create_dataset("I/x", data=1), "a group, where"),
    "a group": (lambda file: file.create_group("I"), "a group, where the bytes of a picture are expected"),
    "a named type": (named_type, "a named type"),
    "a link into another file": (into_another_file, "a link into another file"),
    "a link over a group in another file": (over_a_group_in_another_file, "a link into another file"),
    "a dangling link": (lambda file: file.__setitem__("I", h5py.SoftLink("/gone")), "a link that leads nowhere"),
    "a circle of links": (in_a_circle, "too many others, or in a circle"),
    "virtual": (virtual, "in other files"),
    "external": (external, "in other files"),
    "no dataspace": (lambda file: file.__setitem__("I", h5py.Empty("u1")), "empty"),
    "raw pixels": (
        lambda file: file.__setitem__("I", np.zeros((45, 60, 3), np.uint8)), r"shape \(45, 60, 3\) and type uint8",
    ),
    "grey pixels": (lambda file: file.__setitem__("I", np.zeros((4, 6), np.uint8)), r"shape \(4, 6\) and type uint8"),
    "floats": (lambda file: file.__setitem__("I", np.zeros(4)), r"shape \(4,\) and type float64"),
    "a number": (lambda file: file.__setitem__("I", 1.0), r"shape \(\) and type float64"),
    "texts": (lambda file: file.__setitem__("I", np.array([b"a", b"b"])), r"shape \(2,\) and type \|S1"),
    "a record": (lambda file: file.__setitem__("I", np.zeros((), "i4,f4")), r"shape \(\) and type \["),
    "several vlen": (lambda file: vlen(file, "I", b"a", (2,)), r"shape \(2,\) and type object"),
    "too large": (lambda file: file.__setitem__("I", np.zeros(1_100_000, np.uint8)), "1.1 MB: more than the 1 MB that"),
    "too large, vlen": (lambda file: vlen(file, "I", bytes(1_100_000)), "1.1 MB: more than the 1 MB that"),
    "unpacks to 50 MB": (lambda file: unpacks_to(file, 50_000_000), "50.0 MB: more than the 1 MB"),
    "4 TiB, sparse": (
        lambda file: file.create_dataset("I", (2**42,), np.uint8, chunks=(2**30,)), "4,398,046.5 MB: more than",
    ),
    "a huge string, sparse": (lambda file: file.create_dataset("I", (), "S2000000000"), "2,000.0 MB: more than"),
    "a huge block": (
        lambda file: file.create_dataset("I", (4,), np.uint8, chunks=(2**31,), maxshape=(None,)), "2,147.5 MB: more",
    ),
    "blocks without number": (
        lambda file: file.create_dataset("I", (900_000,), np.uint8, chunks=(1,)), "more than 65,536 blocks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_picture_is_refused_with_the_reason_and_little_memory(tmp_path: Path, case: str) -> None:
    write, reason = REFUSED[case]
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        write(file)
    with h5py.File(tmp_path / "images.hdf5") as file:
        tracemalloc.start()
        try:
            with pytest.raises(NoPicture, match=reason):
                read_entry(file, "I", max_mb=1)
            assert tracemalloc.get_traced_memory()[1] < 5e6
        finally:
            tracemalloc.stop()


def test_a_name_below_a_picture_is_no_entry(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["I"] = np.void(b"1")
    with h5py.File(tmp_path / "images.hdf5") as file, pytest.raises(NoPicture, match="no such entry"):
        read_entry(file, "I/deeper", max_mb=1)


def test_a_damaged_block_is_refused_and_its_neighbour_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        for key in ("I1", "I2"):
            file.create_dataset(key, data=np.frombuffer(png(), np.uint8), compression="gzip")
        file["I1"].id.write_direct_chunk((0,), b"no packed data")
    with h5py.File(tmp_path / "images.hdf5") as file:
        with pytest.raises(NoPicture, match="can't be read: "):
            read_entry(file, "I1", max_mb=1)
        assert read_entry(file, "I2", max_mb=1) == png()


@pytest.mark.parametrize("error", [KeyError, RuntimeError, OSError, ValueError, TypeError, MemoryError])
def test_whatever_h5py_raises_is_a_refusal_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*args: object) -> None:
        raise error("inner fault")

    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file.create_dataset("I", data=np.frombuffer(b"1", np.uint8), chunks=(1,))
        monkeypatch.setattr(h5py, "Dataset", broken)
        with pytest.raises(NoPicture, match=r"can't be read: .*inner fault|more memory than there is"):
            read_entry(file, "I", max_mb=1)


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_damage_anywhere_gives_bytes_or_a_reason(tmp_path: Path, seed: int) -> None:
    path, generator = tmp_path / "images.hdf5", np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for name, write in WRITERS.items():
            write(file, re.sub(r"\W", "_", name), png())
    raw = bytearray(path.read_bytes())
    for position in generator.integers(96, len(raw), 30):
        raw[position] = generator.integers(256)
    path.write_bytes(raw)
    try:
        file = h5py.File(path)
    except OSError:
        return
    with file:
        for name in WRITERS:
            try:
                assert isinstance(read_entry(file, re.sub(r"\W", "_", name), max_mb=1), bytes)
            except NoPicture as refusal:
                assert str(refusal)
