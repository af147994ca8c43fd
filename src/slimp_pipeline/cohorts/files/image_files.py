"""Image files in a cohort's sources: every one is found, or listed with the reason why it isn't used."""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py

from slimp_pipeline.cohorts.files.hdf5 import list_pictures
from slimp_pipeline.cohorts.spec import ImagesSpec

_HDF5_SUFFIXES = (".hdf5", ".h5", ".hdf", ".he5")


class FoundFile(NamedTuple):
    """A file, or an entry of an HDF5 file.

    `unused` is empty where it is an image; else the kind of reason (`suffix`, `hidden`, `other_source` …), which
    `reason` words.
    """

    image_id: str
    path: str
    key: str  # inside an HDF5 file
    size_bytes: int
    mtime_ns: int
    unused: str = ""
    reason: str = ""


@dataclass
class _Walk:
    """One walk through the folders of a cohort; links are followed, and no folder is read twice."""

    images: ImagesSpec
    seen: set[tuple[int, int]] = field(default_factory=set)  # device and inode of folders

    def __post_init__(self) -> None:
        self._suffixes, self._matches = set(self.images.suffixes), re.compile(self.images.pattern or "").match

    def source(self, path: Path) -> list[FoundFile]:
        """Everything in a folder or HDF5 file, sorted by path."""
        if path.is_file():
            return self._hdf5(path)
        return list(self._folder(str(path)))

    def _hdf5(self, path: Path) -> list[FoundFile]:
        if path.suffix.lower() not in _HDF5_SUFFIXES and not h5py.is_hdf5(path):
            raise ValueError(
                f"{path} is an image source, and neither a folder nor an HDF5 file. Name the folder that holds the "
                "images; unpack an archive first."
            )
        stat = path.stat()
        pictures, others = list_pictures(path)
        found = [FoundFile(image_id, str(path), key, stat.st_size, stat.st_mtime_ns) for image_id, key in pictures]
        return found + [
            FoundFile("", str(path), name, stat.st_size, stat.st_mtime_ns, "hdf5", reason) for name, reason in others
        ]

    def _folder(self, folder: str) -> Iterator[FoundFile]:
        try:
            stat = os.stat(folder)
            if (place := (stat.st_dev, stat.st_ino)) in self.seen:
                yield _unused(folder, "same_folder", "another name of a folder that is read")
                return
            self.seen.add(place)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield _unused(folder, "unreadable", f"the folder can't be read: {error.strerror}")
            return
        for entry in entries:
            if entry.name.startswith("."):
                yield _unused(entry.path, "hidden", "hidden")
            elif _is_folder(entry):
                yield from self._folder(entry.path)
            else:
                yield self._file(entry)

    def _file(self, entry: os.DirEntry[str]) -> FoundFile:
        try:
            entry.path.encode()
            stat = entry.stat()
        except UnicodeEncodeError:
            return _unused(entry.path, "name", "its name isn't UTF-8")
        except OSError as error:
            return _unused(entry.path, "link", f"a link that leads nowhere: {error.strerror}")
        stem, suffix = os.path.splitext(entry.name)
        found = FoundFile(stem, entry.path, "", stat.st_size, stat.st_mtime_ns)
        if not entry.is_file():
            return found._replace(unused="special", reason="no regular file")
        if suffix.lower() not in self._suffixes:
            return found._replace(unused="suffix", reason=f"the suffix {suffix or '(none)'} isn't in images.suffixes")
        if not self._matches(stem):
            return found._replace(
                unused="pattern", reason=f"the name doesn't match images.pattern {self.images.pattern}"
            )
        return found


def find_image_files(images: ImagesSpec, folder: Path) -> list[FoundFile]:
    """List the images of a cohort and everything else in the folders of its sources.

    The first source that holds an image is used, with `all_sources` every one; what lies in the others is listed.

    Args:
        images: Where they are.
        folder: The cohort's folder.

    Raises:
        ValueError: If an HDF5 file of images can't be opened, or isn't laid out as one.
    """
    walk, chosen = _Walk(images), None
    listed: list[FoundFile] = []
    for name in images.sources:
        source = named_in(folder, name)
        if not source.exists():
            continue
        if chosen is not None and not images.all_sources:
            listed += _of_another_source(_listing(walk, source), name, chosen)
            continue
        found = walk.source(source)
        listed += found
        chosen = name if chosen is None and any(not file.unused for file in found) else chosen
    return _once(listed)


def named_in(folder: Path, name: str) -> Path:
    """A file or folder by its name, or by the same name in another Unicode form."""
    place = folder / name
    if place.exists() or name.isascii() or not folder.is_dir():
        return place
    alike = [
        path
        for path in folder.iterdir()
        if unicodedata.normalize("NFC", path.name) == unicodedata.normalize("NFC", name)
    ]
    return alike[0] if alike else place


def _listing(walk: _Walk, source: Path) -> list[FoundFile]:
    """What lies in a source that isn't read: of an HDF5 file, the file alone."""
    if source.is_dir():
        return walk.source(source)
    stat = source.stat()
    return [FoundFile("", str(source), "", stat.st_size, stat.st_mtime_ns)]


def _of_another_source(found: list[FoundFile], name: str, chosen: str) -> list[FoundFile]:
    reason = f"in the source {name}, which isn't read: {chosen} holds images (all_sources: true reads both)"
    return [file if file.unused else file._replace(unused="other_source", reason=reason) for file in found]


def _once(found: list[FoundFile]) -> list[FoundFile]:
    """Sources may lie inside one another: what was listed as part of one isn't listed for the other."""
    listed: dict[tuple[str, str], FoundFile] = {}
    for file in found:
        if file.unused != "same_folder" or os.path.islink(file.path):
            listed.setdefault((file.path, file.key), file)
    return list(listed.values())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def _unused(path: str, kind: str, reason: str) -> FoundFile:
    return FoundFile("", os.fsencode(path).decode(errors="backslashreplace"), "", 0, 0, kind, reason)
