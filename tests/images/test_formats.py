"""Which formats are read, and what is said of files in others."""

import re

import pytest
from PIL import Image

from slimp_pipeline.cohorts.spec import PICTURE_SUFFIXES
from slimp_pipeline.images.formats import FORMATS, why_not_read

OTHERS = {
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0", "it is EPS or PostScript. Convert it to JPEG or PNG"),
    "EPS of DOS": (b"\xc5\xd0\xd3\xc6\x1e\0\0\0", "EPS"),
    "PDF": (b"%PDF-1.7", "it is PDF. Take the picture out of it"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0", "it is HEIC. Convert it to JPEG"),
    "HEIF": (b"\0\0\0\x1cftypmif1\0\0\0\0", "it is HEIC"),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0", "it is AVIF"),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\x01", r"a camera's raw file \(CR3\). Export it"),
    "MP4": (b"\0\0\0\x18ftypmp42\0\0\0\0", "a film"),
    "ORF": (b"IIRO\x08\0\0\0", "a camera's raw file"),
    "RW2": (b"IIU\0\x18\0\0\0", "a camera's raw file"),
    "RAF": (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
    "DICOM": (bytes(128) + b"DICM\x02\0", "it is DICOM. Export its picture"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'>", "it is SVG"),
    "SVG with a head": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made -->\n<svg>', "it is SVG"),
    "HTML": (b"\n<!DOCTYPE html><html><svg>", "it is an HTML page. Fetch it again"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "it is XML. Fetch it again"),
    "JSON": (b'{"error": "login"}', "it is JSON. Fetch it again"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "ZIP": (b"PK\x03\x04\x14\0", "it is ZIP. Unpack it"),
    "gzip": (b"\x1f\x8b\x08", "a packed file. Unpack it"),
    "PSD": (b"8BPS\0\x01", r"it is PSD \(Photoshop\)"),
    "ICO": (b"\0\0\1\0\1\0", "an icon"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "it is JPEG 2000"),
    "JPEG XL": (b"\xff\x0a\xfa", "it is JPEG XL"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "images.sources"),
    "PPM": (b"P6\n2 2\n255\n", "it is PNM"),
    "zeros": (bytes(5000), "nothing but zero bytes. Fetch it again"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_in_another_format_is_said_to_be_what_it_is(kind: str) -> None:
    start, said = OTHERS[kind]
    wanted = r"not a picture in a format that is read \(JPEG, PNG, TIFF, BMP, WebP, GIF of one frame\): .*"
    assert re.fullmatch(wanted + said + ".*", why_not_read(start))


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"II*\0", b"GIF89a", b"BM6", b"RIFF\0\0\0\0WEBP"]
)
def test_the_beginning_of_a_format_that_is_read_counts_as_damage(start: bytes) -> None:
    assert why_not_read(start).startswith("damaged: ")


@pytest.mark.parametrize("start", [b"", b"x", b"some text", b"\0\1", b"\xf0" * 2000])
def test_of_other_bytes_no_more_is_said_than_is_known(start: bytes) -> None:
    assert why_not_read(start).endswith("GIF of one frame)")


def test_the_suffixes_that_are_looked_for_are_those_of_the_formats() -> None:
    Image.init()
    assert {Image.registered_extensions()[suffix] for suffix in PICTURE_SUFFIXES} == set(FORMATS)
