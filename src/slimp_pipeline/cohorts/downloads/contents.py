"""What a file that came is: a whole picture, a table, an HDF5 file, a zip file; or a server's excuse in its place."""

import hashlib
import re
import zipfile
from pathlib import Path

from slimp_pipeline.cohorts.files.foreign_files import refuse_foreign_file

_HEAD_BYTES = 4096
_CHUNK_BYTES = 2**20
_PNG_END = b"IEND\xaeB`\x82"
_EXCUSES = (
    (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|script)", "a web page (HTML)"),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML document, perhaps the server's error message"),
    (rb"\s*[\[{]", "a JSON document, perhaps the server's error message"),
)


def picture_suffix(path: Path) -> str:
    """Suffix that a picture's file should bear, by its bytes: `.jpg` or `.png`.

    Whether it can be decoded is looked at when it is ingested; here, whether it is a picture, and came to its end.

    Raises:
        ValueError: If it is no JPEG or PNG, or its end is missing; says what it is.
    """
    raw = path.read_bytes()
    if raw.startswith(b"\xff\xd8\xff"):
        scan = _first_scan(raw)
        # Within a scan neither marker occurs; a progressive JPEG has several.
        if scan is None or raw.rfind(b"\xff\xd9", scan) < raw.rfind(b"\xff\xda", scan):
            raise ValueError("a JPEG whose end is missing")
        return ".jpg"
    if raw.startswith(b"\x89PNG\r\n\x1a\n"):
        if _PNG_END not in raw[-_HEAD_BYTES:]:
            raise ValueError("a PNG whose end is missing")
        return ".png"
    raise ValueError(f"{_described(raw[:_HEAD_BYTES])}, not a JPEG or PNG")


def check_file(path: Path, name: str, *, is_zip: bool) -> None:
    """Look whether a file is what its name says.

    Args:
        path: Where it lies.
        name: What it will be called.
        is_zip: Whether it is to be unpacked.

    Raises:
        ValueError: If it isn't; says what it is.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if is_zip and not zipfile.is_zipfile(path):
        raise ValueError(f"{_described(head)}, not a zip file")
    if name.lower().endswith((".hdf5", ".h5")) and not head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise ValueError(f"{_described(head)}, not an HDF5 file")
    if name.lower().endswith((".csv", ".tsv", ".txt")):
        if not head.strip():
            raise ValueError("an empty file")
        refuse_foreign_file(head, Path(name))


def digest(path: Path, method: str = "sha256") -> str:
    """Checksum of a file in hexadecimal digits, by `sha256` or `md5`."""
    summed = hashlib.new(method, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            summed.update(chunk)
    return summed.hexdigest()


def _first_scan(raw: bytes) -> int | None:
    """Where the pixels of a JPEG begin, behind segments that may hold a whole thumbnail; None if it ends before."""
    at = 2
    while at + 4 <= len(raw):
        if raw[at : at + 2] == b"\xff\xda":
            return at
        if raw[at] != 0xFF or raw[at + 1] == 0xFF:  # stray bytes and fillers, which decoders pass over
            at += 1
        else:
            at += 2 + int.from_bytes(raw[at + 2 : at + 4])
    return None


def _described(head: bytes) -> str:
    if not head.strip():
        return "an empty file"
    return next((words for start, words in _EXCUSES if re.match(start, head, re.IGNORECASE)), "something else")
