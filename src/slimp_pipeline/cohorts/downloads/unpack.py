"""Zip files of strangers, unpacked: looked through before anything is written, and counted while it is."""

import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slimp_pipeline.processes.whole import remove, temporary_name

_CHUNK_BYTES = 2**20
_LARGE_BYTES = 10**6  # of a file whose ratio tells something


@dataclass(frozen=True)
class ZipLimits:
    """More than any published cohort has, and less than a bomb.

    Attributes:
        num_files: In one zip file.
        num_bytes: Of all its files, unpacked.
        ratio: Of one file's unpacked to its packed bytes; deflate comes to 1,032 at most, tables of zeros to 50.
    """

    num_files: int = 2_000_000
    num_bytes: int = 500 * 10**9
    ratio: float = 200.0


@dataclass(frozen=True)
class Unpacked:
    """What a zip file held."""

    num_files: int
    num_bytes: int


def unpacked_size(path: Path, limits: ZipLimits = ZipLimits()) -> Unpacked:
    """Look through a zip file without unpacking it.

    Raises:
        ValueError: If it is damaged, or one of its entries may not be unpacked; says which and why.
    """
    with _opened(path) as archive:
        infos = _checked(archive, path, limits)
        return Unpacked(len(infos), sum(info.file_size for info in infos))


def unpack_zip(
    path: Path, folder: Path, *, go_on: Callable[[int], object] = lambda _: None, limits: ZipLimits = ZipLimits()
) -> Unpacked:
    """Unpack a zip file into a folder; each file appears whole or not at all.

    A file that is there with the same content stays, so that an unpacking that was killed can be done again.

    Args:
        path: The zip file.
        folder: Where to; it may hold other files.
        go_on: Called with the bytes that were written since; it may raise.
        limits: What it may hold.

    Raises:
        ValueError: As `unpacked_size`; or if an entry is damaged, or another file of its name is there.
        OSError: If the disk is full.
    """
    with _opened(path) as archive:
        infos = _checked(archive, path, limits)
        for info in infos:
            target = folder / info.filename
            if target.exists():
                _require_same(target, info, path)
                go_on(info.file_size)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_name(target)
            try:
                with temporary.open("wb") as file:
                    for chunk in _chunks(archive, info, path):
                        file.write(chunk)
                        go_on(len(chunk))
                temporary.replace(target)
            finally:
                remove(temporary)
        return Unpacked(len(infos), sum(info.file_size for info in infos))


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, ValueError) as error:
        raise ValueError(f"{path.name} is no whole zip file ({error})") from error


def _checked(archive: zipfile.ZipFile, path: Path, limits: ZipLimits) -> list[zipfile.ZipInfo]:
    """Entries that are files, all of them harmless."""
    entries = archive.infolist()
    for info in entries:
        if reason := _why_not(info, limits):
            raise ValueError(f"{path.name} isn't unpacked: its entry {info.orig_filename[:100]!a} {reason}")
    infos = [info for info in entries if not info.is_dir()]
    if not infos:
        raise ValueError(f"{path.name} holds no file")
    if len(infos) > limits.num_files:
        raise ValueError(f"{path.name} isn't unpacked: it holds {len(infos):,} files, more than {limits.num_files:,}")
    if (total := sum(info.file_size for info in infos)) > limits.num_bytes:
        raise ValueError(f"{path.name} isn't unpacked: it would be {total:,} bytes, more than {limits.num_bytes:,}")
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise ValueError(f"{path.name} isn't unpacked: its entries share the same bytes, as those of a zip bomb do")
    _refuse_twice(infos, path)
    return infos


def _why_not(info: zipfile.ZipInfo, limits: ZipLimits) -> str:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if "\\" in name or ":" in name or re.search("[\x00-\x1f\x7f]", name):
        return "has a name with a backslash, a colon or a control character"
    if any(part in ("", ".", "..") for part in parts):
        return "would lie outside the folder"
    if any(len(part.encode()) > 200 for part in parts):
        return "has a name of more than 200 bytes"
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is no regular file"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.file_size > max(_LARGE_BYTES, limits.ratio * info.compress_size):
        return f"would be {info.file_size:,} bytes, out of {info.compress_size:,}: a zip bomb"
    return ""


def _refuse_twice(infos: list[zipfile.ZipInfo], path: Path) -> None:
    """Names that are one on some disks, and files that others take for a folder."""
    names: dict[str, str] = {}
    for info in infos:
        if other := names.get(info.filename.casefold()):
            raise ValueError(f"{path.name} isn't unpacked: {other!a} and {info.filename!a} are one name on some disks")
        names[info.filename.casefold()] = info.filename
    for name, shown in names.items():
        for above in (str(folder) for folder in Path(name).parents):
            if above in names:
                raise ValueError(f"{path.name} isn't unpacked: {names[above]!a} is a file and the folder of {shown!a}")


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    """Content of an entry, which zipfile holds against its checksum at the end."""
    try:
        with archive.open(info) as packed:
            yield from _counted(packed, info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path.name}: its entry {info.filename!a} is damaged ({error}). Fetch it again") from error


def _counted(packed: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    num_bytes = 0
    while chunk := packed.read(_CHUNK_BYTES):
        num_bytes += len(chunk)
        if num_bytes > info.file_size:
            raise zipfile.BadZipFile(f"it is larger than the {info.file_size:,} bytes that it claims")
        yield chunk


def _require_same(target: Path, info: zipfile.ZipInfo, path: Path) -> None:
    crc = 0
    if target.is_file() and target.stat().st_size == info.file_size:
        with target.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                crc = zlib.crc32(chunk, crc)
        if crc == info.CRC:
            return
    raise ValueError(f"{path.name}: there is another file called {info.filename!a} already, with other content")
