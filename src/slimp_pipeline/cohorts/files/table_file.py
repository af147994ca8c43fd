"""Table files whatever their form: CSV text, Parquet or Excel, also packed by gzip or zip."""

import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO

import pandas as pd

from slimp_pipeline.cohorts.files.csv_table import read_csv_text
from slimp_pipeline.cohorts.files.excel_table import read_excel_table
from slimp_pipeline.cohorts.files.foreign_files import refuse_foreign_document, refuse_foreign_file
from slimp_pipeline.cohorts.files.parquet_table import read_parquet_table
from slimp_pipeline.cohorts.files.unpacked_size import check_unpacked_size

_HEAD_BYTES = 4096
_CHUNK_BYTES = 2**20
_MEMORY_BYTES = 64 * 2**20  # what is unpacked beyond this goes to a temporary file
_MOST_LAYERS = 2  # a workbook, which is a zip file itself, in a zip file in a gzip file
_ENCRYPTED = 0x1  # flag of a zip entry
# What unpacking raises of files that were cut, changed, or never were what they seem.
_DAMAGED = (
    zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError, struct.error,
)  # fmt: skip


def read_table(path: Path, *, separator: str | None = None, sheet: str | None = None) -> pd.DataFrame:
    """Read a table file as text, in the form that its content shows, whatever its name.

    Args:
        path: CSV text, Parquet or an Excel workbook (.xlsx, .xlsm); or one of them in a gzip or zip file.
        separator: Field separator of CSV text; None finds it. Other forms have none.
        sheet: Name of a workbook's sheet; None takes the only one that has cells.

    Returns:
        Columns of text (dtype `str`), missing values as ""; columns without a name and blank rows are left
        out. The index, `line`, says where a row starts: the line of the text (header = 1), the row of the
        sheet, or in Parquet the number of the row (from 0) plus 2.

    Raises:
        ValueError: If the file can't be read or is damaged, protected, no table, or one without header or
            rows; names the file, where it is known the line, and what to do.
    """
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder. Name the table file in it.")
        with path.open("rb") as file:
            return _read(file, path, separator, sheet, _MOST_LAYERS)
    except PermissionError as error:
        raise ValueError(f"{path} can't be read: permission denied. Change the file's access rights.") from error
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}.") from error


def _read(file: IO[bytes], path: Path, separator: str | None, sheet: str | None, layers: int) -> pd.DataFrame:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PAR1\x15"):  # the byte tells it from a CSV header that begins so
        _refuse_sheet(path, sheet)
        return read_parquet_table(file, path)
    is_zip = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    if is_zip and _is_workbook(file, path):
        return read_excel_table(file, path, sheet)
    if is_zip or head.startswith(b"\x1f\x8b"):
        if not layers:
            raise ValueError(f"{path} is packed several times over. Unpack it and name the table file that it holds.")
        with _unpack_zip(file, path) if is_zip else _unpack_gzip(file, path) as unpacked:
            return _read(unpacked, path, separator, sheet, layers - 1)
    refuse_foreign_file(head, path)
    _refuse_sheet(path, sheet)
    return read_csv_text(file, path, separator)


def _refuse_sheet(path: Path, sheet: str | None) -> None:
    if sheet is not None:
        raise ValueError(f"{path} is no Excel workbook, and has no sheet '{sheet}'. Leave `sheet` out.")


def _open_zip(file: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged ({error}). Fetch it again.") from error


def _is_workbook(file: IO[bytes], path: Path) -> bool:
    with _open_zip(file, path) as archive:
        parts = archive.namelist()
        refuse_foreign_document(parts, path)
        if is_workbook := "[Content_Types].xml" in parts and any(name.startswith("xl/") for name in parts):
            for entry in archive.infolist():
                check_unpacked_size(path, entry.file_size, entry.compress_size)
    return is_workbook


def _unpack_zip(file: IO[bytes], path: Path) -> IO[bytes]:
    with _open_zip(file, path) as archive:
        entries = [entry for entry in archive.infolist() if _is_content(entry.filename)]
        if len(entries) != 1:
            shown = ", ".join(entry.filename for entry in entries[:10]) + (", …" if len(entries) > 10 else "")
            held = f"several files: {shown}. Unpack the right one and name it" if entries else "no file. Fetch it again"
            raise ValueError(f"{path} holds {held}.")
        entry = entries[0]
        if entry.flag_bits & _ENCRYPTED:
            raise ValueError(f"{path} is protected by a password. Unpack it and name the table file that it holds.")
        check_unpacked_size(path, entry.file_size, entry.compress_size)
        try:
            member = archive.open(entry)
        except NotImplementedError as error:
            raise ValueError(
                f"{path} is packed in a way that can't be read ({error}). Unpack it, name what it holds."
            ) from error
        except _DAMAGED as error:
            raise ValueError(f"{path} is damaged ({error}). Fetch it again.") from error
        with member:
            return _unpack(member, path, entry.compress_size)


def _is_content(name: str) -> bool:
    """Tell files from what systems put beside them: macOS' `__MACOSX`, .DS_Store and the like."""
    is_folder = name.endswith("/")
    return not (is_folder or name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith("."))


def _unpack_gzip(file: IO[bytes], path: Path) -> IO[bytes]:
    packed_bytes = file.seek(0, 2)
    file.seek(0)
    with gzip.GzipFile(fileobj=file, mode="rb") as member:
        return _unpack(member, path, packed_bytes)


def _unpack(member: IO[bytes] | gzip.GzipFile, path: Path, packed_bytes: int) -> IO[bytes]:
    with ExitStack() as stack:
        unpacked = stack.enter_context(SpooledTemporaryFile(_MEMORY_BYTES))
        for chunk in _chunks(member, path):
            unpacked.write(chunk)
            check_unpacked_size(path, unpacked.tell(), packed_bytes)
        unpacked.seek(0)
        stack.pop_all()
    return unpacked


def _chunks(member: IO[bytes] | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    try:
        while chunk := member.read(_CHUNK_BYTES):
            yield chunk
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged ({error}). Fetch it again.") from error
