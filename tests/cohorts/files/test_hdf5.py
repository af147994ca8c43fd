"""Pictures listed from HDF5 files of many layouts, and everything else in them named with the reason."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from slimp_pipeline.cohorts.files import hdf5
from slimp_pipeline.cohorts.files.hdf5 import list_pictures

Write = Callable[[h5py.File], object]
PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Write], Path]:
    def write_file(write: Write) -> Path:
        with h5py.File(tmp_path / "photos.hdf5", "w") as file:
            write(file)
        return tmp_path / "photos.hdf5"

    return write_file


def pictures(*keys: str) -> Write:
    def write(file: h5py.File) -> None:
        for key in keys:
            file[key] = np.void(b"1")

    return write


def two_links(file: h5py.File) -> None:
    file["I1"] = np.void(b"1")
    file["out"] = h5py.ExternalLink("other.hdf5", "/I")
    file["gone"] = h5py.SoftLink("/nothing")
    file["same"] = h5py.SoftLink("/I1")


def a_group_of_links(file: h5py.File) -> None:
    file["images/I1"] = np.void(b"1")
    file["images/I2"] = h5py.ExternalLink("other.hdf5", "/I")
    file["more"] = h5py.ExternalLink("other.hdf5", "/images")


def things_beside(file: h5py.File) -> None:
    pictures("I1", "train/I2.PNG", "train/deep/I3")(file)
    file["raw"], file["masks/raw"] = PIXELS, PIXELS
    file["ages"], file["type"] = np.zeros(3), np.dtype("f4")
    file.create_group("empty")


def not_utf8(file: h5py.File) -> None:
    file["I1"] = np.void(b"1")
    file.id.link(b"I1", b"J\xfc", h5py.h5g.LINK_HARD)


LISTED: dict[str, tuple[Write, list[tuple[str, str]], dict[str, str]]] = {
    "top level": (pictures("ISIC_2", "ISIC_1"), [("ISIC_1", "ISIC_1"), ("ISIC_2", "ISIC_2")], {}),
    "with suffixes": (
        pictures("I1.jpg", "I2.JPEG", "I3.tiff", "I4.v2", "I.5.png", ".png"),
        [(".png", ".png"), ("I.5", "I.5.png"), ("I1", "I1.jpg"), ("I2", "I2.JPEG"), ("I3", "I3.tiff"),
         ("I4.v2", "I4.v2")],
        {},
    ),
    "in one group": (pictures("images/I1", "images/I2"), [("I1", "images/I1"), ("I2", "images/I2")], {}),
    "in groups by split": (pictures("test/I2", "train/I1"), [("I2", "test/I2"), ("I1", "train/I1")], {}),
    "by patient": (pictures("p1/I1", "p2/I2", "p2/I3"), [("I1", "p1/I1"), ("I2", "p2/I2"), ("I3", "p2/I3")], {}),
    "names twice": (pictures(*(f"{group}/I{i}" for group in "ab" for i in range(4))),
                    [(f"I{i}", f"{group}/I{i}") for group in "ab" for i in range(4)], {}),
    "one id": (pictures("img_1/image"), [("image", "img_1/image")], {}),
    "links": (two_links, [("I1", "I1"), ("same", "same")], {"out": "another file", "gone": "leads nowhere"}),
    "links in groups": (a_group_of_links, [("I1", "images/I1")], {"images/I2": "another file", "more": "another file"}),
    "raw pixels": (lambda file: [file.__setitem__(f"I{i}", PIXELS) for i in range(2)], [],
                   {"I0": r"shape \(4, 6, 3\) and type uint8", "I1": r"shape \(4, 6, 3\) and type uint8"}),
    "things beside": (
        things_beside, [("I1", "I1"), ("I2", "train/I2.PNG")],
        {"ages": "type float64", "empty": "an empty group", "masks/raw": r"shape \(4, 6, 3\)",
         "raw": r"shape \(4, 6, 3\)", "train/deep": "a group within a group", "type": "a named type"},
    ),
    "no UTF-8": (not_utf8, [("I1", "I1")], {r"J\xfc": "its name isn't UTF-8"}),
    "umlauts": (pictures("Hände/Bär"), [("Bär", "Hände/Bär")], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTED)
def test_pictures_are_listed_by_id_and_key_and_all_else_by_reason(written: Callable[[Write], Path], case: str) -> None:
    write, wanted, reasons = LISTED[case]
    found, others = list_pictures(written(write))
    assert found == wanted
    assert [name for name, _ in others] == sorted(reasons)
    for name, reason in others:
        assert re.search(reasons[name], reason), reason


def group_per_id(file: h5py.File) -> None:
    for i in range(3):
        file[f"img_00{i}/image"] = np.void(b"1")
        file[f"img_00{i}/label"] = i


def one_array(file: h5py.File) -> None:
    file["ids"] = np.array([b"I1", b"I2"])
    file["images"] = np.zeros((2, 4, 6, 3), np.uint8)


def one_grey_array_in_a_group(file: h5py.File) -> None:
    file["train/images"] = np.zeros((9, 28, 28), np.uint8)
    file["train/ids"] = np.arange(9)


def one_array_of_files(file: h5py.File) -> None:
    file.create_dataset("images", (2,), h5py.vlen_dtype(np.uint8))


UNREADABLE: dict[str, tuple[Write, str]] = {
    "empty": (lambda file: None, "photos.hdf5 holds nothing, where one entry per picture"),
    "group per id": (
        group_per_id, r"photos.hdf5 holds groups where a picture per id is expected \(first: img_000, with image, la",
    ),
    "group of one per id": (pictures("img_000/jpeg", "img_001/jpeg"), r"\(first: img_000, with jpeg\)"),
    "group per patient, names start anew": (
        pictures("p1/a", "p1/b", "p2/a", "p2/b"), r"\(first: p1, with a, b\)",
    ),
    "one array": (
        one_array, r"one array for all pictures \(images, of shape \(2, 4, 6, 3\) and type uint8\), where one entry per"
    ),
    "one grey array": (one_grey_array_in_a_group, r"one array for all pictures \(train/images, of shape \(9, 28, 28\)"),
    "one array of files": (one_array_of_files, r"one array for all pictures \(images, of shape \(2,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_another_layout_is_said_to_be_so(written: Callable[[Write], Path], case: str) -> None:
    write, said = UNREADABLE[case]
    with pytest.raises(ValueError, match=said):
        list_pictures(written(write))


@pytest.mark.parametrize(
    "spoil",
    [lambda raw: b"half a download", lambda raw: b"", lambda raw: raw[:-100], lambda raw: bytes(len(raw))],
    ids=["text", "empty", "truncated", "zeros"],
)
def test_no_whole_file_is_refused_by_name(written: Callable[[Write], Path], spoil: Callable[[bytes], bytes]) -> None:
    path = written(pictures(*(f"I{i}" for i in range(50))))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"photos.hdf5 is no whole HDF5 file \(.*Fetch it again"):
        list_pictures(path)


@pytest.mark.parametrize(
    ("error", "said"),
    [(PermissionError(13, "…"), "can't be read: permission denied"), (BlockingIOError(11, "…"), "another program")],
)
def test_a_file_that_may_not_be_opened_is_told_from_a_damaged_one(
    written: Callable[[Write], Path], monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def refused(*args: object) -> None:
        raise error

    path = written(pictures("I1"))
    monkeypatch.setattr(h5py, "File", refused)
    with pytest.raises(ValueError, match=rf"photos.hdf5 {said}" if "can't" in said else said):
        list_pictures(path)


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_damage_anywhere_is_listed_or_refused_in_words(written: Callable[[Write], Path], seed: int) -> None:
    path, generator = written(things_beside), np.random.default_rng(seed)
    raw = bytearray(path.read_bytes())
    for position in generator.integers(96, len(raw), 20):
        raw[position] = generator.integers(256)
    path.write_bytes(raw)
    try:
        found, others = list_pictures(path)
    except ValueError as error:
        assert "photos.hdf5" in str(error)
    else:
        assert all(key for _, key in found) and all(reason for _, reason in others)


@pytest.mark.parametrize("odd", ["A", "ISIC_000300", "zz"])
def test_a_file_of_many_pictures_is_listed_without_opening_each(
    written: Callable[[Write], Path], monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    keys = [f"ISIC_{i:06d}" for i in range(2000)]

    def write(file: h5py.File) -> None:
        pictures(*(key for key in keys if key != odd))(file)
        file[odd] = h5py.ExternalLink("other.hdf5", "/I") if odd in keys else np.zeros(3)

    opened = []
    judge = hdf5.why_no_picture
    monkeypatch.setattr(hdf5, "why_no_picture", lambda entry: opened.append(entry.name) or judge(entry))
    found, others = list_pictures(written(write))
    assert [key for _, key in found] == [key for key in keys if key != odd]
    assert [name for name, _ in others] == [odd]
    assert len(opened) <= 510


def test_many_groups_are_all_read(written: Callable[[Write], Path]) -> None:
    keys = [f"p{i:04d}/I{i:04d}" for i in range(700)]
    assert list_pictures(written(pictures(*keys))) == ([(key[6:], key) for key in keys], [])


def test_listing_takes_about_as_long_as_sorting_the_names(written: Callable[[Write], Path]) -> None:
    def write(file: h5py.File) -> None:
        first = file.create_dataset("ISIC_0000000", data=np.void(b"1")).id
        for i in range(1, 20_000):  # names of one picture: what is measured is the names
            h5py.h5o.link(first, file.id, b"ISIC_%07d" % i)

    path = written(write)

    def seconds(read: Callable[[], object]) -> float:
        started = time.process_time()
        read()
        return time.process_time() - started

    def sort_names() -> None:
        with h5py.File(path) as file:
            sorted(file)

    yardstick = min(seconds(sort_names) for _ in range(3))
    assert min(seconds(lambda: list_pictures(path)) for _ in range(3)) < 8 * yardstick + 0.1
