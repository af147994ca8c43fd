"""Formats of pictures that are read, and what other files are that bear a picture's name."""

import re
from typing import NamedTuple

from PIL import Image

# Named to Pillow, which would otherwise try all it knows and start Ghostscript for an EPS. Phones' MPO is a JPEG.
# Files are looked for by `cohorts.spec.PICTURE_SUFFIXES`, which are these formats' suffixes.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
FORMATS_IN_WORDS = "JPEG, PNG, TIFF, BMP, WebP, GIF of one frame"
START_BYTES = 1024  # of a file, in which its kind shows


class _Kind(NamedTuple):
    pattern: str  # at the file's beginning
    name: str
    remedy: str = "Convert it to JPEG or PNG"
    is_photograph: bool = False  # nothing else begins so


_FETCH_AGAIN = "Fetch it again, and look whether the download needs a login"
_RAW = "a camera's raw file"
_DEVELOP = "Export it as JPEG, PNG or TIFF with the camera's program"
_KINDS = (
    _Kind(r"%!PS|\xc5\xd0\xd3\xc6", "EPS or PostScript"),
    _Kind(r"%PDF", "PDF", "Take the picture out of it as JPEG or PNG"),
    _Kind(
        r"[\s\S]{4}ftyp(hei[cfmsvx]|hev[cmsx]|mif1|msf1)", "HEIC", "Convert it to JPEG, or set the phone to JPEG", True
    ),
    _Kind(r"[\s\S]{4}ftypavi[fs]", "AVIF", is_photograph=True),
    _Kind(r"[\s\S]{4}ftypcrx ", f"{_RAW} (CR3)", _DEVELOP, True),
    _Kind(r"[\s\S]{4}ftyp", "a film (MP4, MOV)", "Save one frame of it as JPEG or PNG"),
    _Kind(r"II\*\0[\s\S]{4}CR|IIR[OS]\x08|MMOR|IIU\0|FUJIFILMCCD-RAW|\0MRM|FOVb", _RAW, _DEVELOP, True),
    _Kind(r"[\s\S]{128}DICM", "DICOM", "Export its picture as JPEG or PNG, without the patient's name", True),
    _Kind(r"\s*<(!doctype html|html|head|body)", "an HTML page", _FETCH_AGAIN),
    _Kind(r"\s*<svg|\s*<[?!][\s\S]*<svg", "SVG"),
    _Kind(r"\s*<\?xml", "XML", _FETCH_AGAIN),
    _Kind(r"\s*\{\s*\"", "JSON", _FETCH_AGAIN),
    _Kind(r"version https://git-lfs", "a pointer of Git LFS", "Fetch the file that it stands for: git lfs pull"),
    _Kind(r"PK\x03\x04", "ZIP", "Unpack it"),
    _Kind(r"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a packed file", "Unpack it"),
    _Kind(r"8BP[SB]", "PSD (Photoshop)"),
    _Kind(r"\0\0[\1\2]\0", "ICO (an icon)"),
    _Kind(r"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000", is_photograph=True),
    _Kind(r"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL", is_photograph=True),
    _Kind(r"II\xbc", "JPEG XR"),
    _Kind(r"\x89HDF", "HDF5", "Name the file itself in `images.sources` of the cohort's YAML"),
    _Kind(r"P[1-7]\s", "PNM"),
    _Kind(r"\0+\Z", "nothing but zero bytes", "Fetch it again"),
)
_OWN = re.compile(rb"\xff\xd8\xff|\x89PNG|II\*\0|MM\0\*|II\+\0|MM\0\+|BM|RIFF[\s\S]{4}WEBP|GIF8")
_OWN_WHATEVER_NAME = re.compile(_OWN.pattern.replace(rb"BM", rb"BM[\s\S]{4}\0{4}"))  # texts begin with BM, too
_COMPILED = [(re.compile(kind.pattern.encode("latin-1"), re.IGNORECASE), kind) for kind in _KINDS]
_IS_PREVIEW = 254, 1  # TIFF tag NewSubfileType: a smaller copy of another picture


def why_not_read(raw: bytes) -> str:
    """Say why no format that is read fits a file: what it is instead, where that shows, and what to do."""
    start = raw[:START_BYTES].removeprefix(b"\xef\xbb\xbf")
    if _OWN.match(start):
        return "damaged: its beginning is a picture's, but no more of it can be read. Fetch it again"
    unread = f"not a picture in a format that is read ({FORMATS_IN_WORDS})"
    kind = next((kind for pattern, kind in _COMPILED if pattern.match(start)), None)
    return f"{unread}: it is {kind.name}. {kind.remedy}" if kind else unread


def photograph_within(start: bytes) -> str:
    """Say which picture a file holds whose name is no picture's, and what to do; empty where it is none.

    Args:
        start: The file's first `START_BYTES`.
    """
    for pattern, kind in _COMPILED:
        if kind.is_photograph and pattern.match(start):
            return f"it is {kind.name}. {kind.remedy}"
    is_own = _OWN_WHATEVER_NAME.match(start)
    return "it is a picture. Give it its suffix, or export it as JPEG or PNG" if is_own else ""


def why_no_photograph(picture: Image.Image, raw: bytes) -> str:
    """Say what a TIFF is that opens but holds a camera's raw data, with a preview for a picture; else empty."""
    tag, bit = _IS_PREVIEW
    tags = getattr(picture, "tag_v2", {})
    if picture.format == "TIFF" and (raw[8:10] == b"CR" or tags.get(tag, 0) & bit):
        return f"{_RAW}, of which only the preview could be read. {_DEVELOP}"
    return ""
