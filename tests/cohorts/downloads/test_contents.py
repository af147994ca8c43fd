"""What a file that came is."""

import io

import pytest
from PIL import Image

from archive_server import picture
from slimp_pipeline.cohorts.downloads.contents import check_file, digest, picture_suffix


def with_thumbnail() -> bytes:
    """A JPEG whose EXIF holds another, end and all."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 10
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(1, side=64))).save(buffer, "JPEG", exif=exif.tobytes() + picture(2))
    return buffer.getvalue()


def progressive() -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(1, side=64))).save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


WHOLE = {
    "plain": picture(1, side=64),
    "thumbnail": with_thumbnail(),
    "progressive": progressive(),
    "png": picture(1, "PNG", 64),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "f"


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_picture_bears_the_suffix_of_its_bytes(path, kind):
    for padding in (b"", b"\0" * 50):
        path.write_bytes(WHOLE[kind] + padding)
        assert picture_suffix(path) == (".png" if kind == "png" else ".jpg")


@pytest.mark.parametrize("kind", WHOLE)
def test_a_picture_without_its_end_is_no_whole_one(path, kind):
    whole = WHOLE[kind]
    for end in {*range(20, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"a (JPEG|PNG) whose end is missing"):
            picture_suffix(path)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "an empty file"),
        (b"  \n<!DOCTYPE HTML><html>", r"a web page \(HTML\)"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML document, perhaps the server's error message"),
        (b'{"detail": "not found"}', "a JSON document, perhaps the server's error message"),
        (picture(1, "GIF"), "something else"),
    ],
    ids=["empty", "page", "xml", "json", "gif"],
)
def test_what_is_no_picture_is_told(path, raw, words):
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=f"{words}, not a JPEG or PNG"):
        picture_suffix(path)
    with pytest.raises(ValueError, match=f"{words}, not a zip file"):
        check_file(path, "", is_zip=True)
    with pytest.raises(ValueError, match=f"{words}, not an HDF5 file"):
        check_file(path, "train-image.hdf5", is_zip=False)


def test_a_table_that_is_none_is_told_by_its_own_name(path, make_zip):
    path.write_bytes(b"<html><body>Log in")
    with pytest.raises(ValueError, match=r"metadata.csv is a web page \(HTML\)"):
        check_file(path, "metadata.csv", is_zip=False)
    path.write_bytes(b" \n")
    with pytest.raises(ValueError, match="an empty file"):
        check_file(path, "metadata.csv", is_zip=False)
    path.write_bytes(b"isic_id,sex\nISIC_1,male\n")
    check_file(path, "metadata.csv", is_zip=False)
    path.write_bytes(make_zip({"a": b"a"}))
    check_file(path, "", is_zip=True)


def test_checksums_are_those_that_everybody_knows(path):
    path.write_bytes(b"abc")
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"
