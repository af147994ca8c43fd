"""Files of a published release: fetched one by one, zip files unpacked."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from tqdm import tqdm

from slimp_pipeline.cohorts.downloads.contents import check_file
from slimp_pipeline.cohorts.downloads.ledger import FAILED, GOT, Entry, Ledger
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.cohorts.downloads.space import in_words, require_space
from slimp_pipeline.cohorts.downloads.spec import ReleaseFile
from slimp_pipeline.cohorts.downloads.transfer import Source, Transfer, Unfetched, discard, take
from slimp_pipeline.cohorts.downloads.unpack import unpack_zip, unpacked_size
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import DownloadParams


def fetch_release(spec: CohortSpec, place: Place, ledger: Ledger, settings: DownloadParams, pace: Pace) -> list[Entry]:
    """Fetch the files of a release that aren't there yet; one that fails doesn't keep the others from coming.

    Args:
        spec: A cohort whose `download` names files.
        place: Where to.
        ledger: What became of each is added.
        settings: Tries, waits, limits.
        pace: Of all requests.

    Returns:
        An entry for every file, and one for what each zip file held.

    Raises:
        OSError: If there is no room on the disk.
    """
    files = spec.download.files if spec.download else []
    release = _Release(spec, place, ledger, settings, pace)
    release.require_space(files)
    return [entry for file in files for entry in release.fetch(file)]


class _Release:
    def __init__(self, spec: CohortSpec, place: Place, ledger: Ledger, settings: DownloadParams, pace: Pace) -> None:
        self._spec, self._place, self._ledger = spec, place, ledger
        self._settings, self._pace = settings, pace

    def require_space(self, files: Sequence[ReleaseFile]) -> None:
        """Look for room: for every file, and for the largest zip file beside what came out of it."""
        left = [file for file in files if not self._kept(file)]
        sizes = [file.size_bytes or 0 for file in left]
        zipped = [file.size_bytes or 0 for file in left if file.unpack]
        unknown = sum(file.size_bytes is None for file in left)
        what = f"what is left, {len(left)} files{f' ({unknown} of unknown size)' if unknown else ''},"
        require_space(self._place.staging, sum(sizes) + max(zipped, default=0), what, self._settings.spare_disk_gb)

    def fetch(self, file: ReleaseFile) -> Iterator[Entry]:
        """What became of a file, and of its content where it is unpacked."""
        part = self._place.parts / hashlib.sha256(file.url.encode()).hexdigest()[:16]
        if kept := self._kept(file):
            yield from kept
            return
        entry = self._there(file, part) or self._fetched(file, part)
        yield entry
        if entry.outcome == GOT and file.unpack:
            yield self._unpacked(file, part)

    def _kept(self, file: ReleaseFile) -> list[Entry]:
        """Entries of what an earlier run got and put in place."""
        entry = self._ledger.got("file", _name(file))
        if file.unpack:
            unpacked = self._ledger.got("unpacked", _name(file))
            return [entry, unpacked] if entry and unpacked else []
        path = self._place.staging / file.to
        return [entry] if entry and path.is_file() and path.stat().st_size == entry.num_bytes else []

    def _there(self, file: ReleaseFile, part: Path) -> Entry | None:
        """Entry of a zip file that came whole, and wasn't unpacked to its end."""
        entry = self._ledger.got("file", _name(file)) if file.unpack else None
        return entry if entry and part.is_file() and part.stat().st_size == entry.num_bytes else None

    def _entry(self, kind: Literal["file", "unpacked"], file: ReleaseFile) -> Entry:
        return Entry(kind, _name(file), FAILED, licence=self._spec.licence, attribution=self._spec.source)

    def _fetched(self, file: ReleaseFile, part: Path) -> Entry:
        name = _name(file)
        entry = self._entry("file", file)
        with _bar(_short(file), file.size_bytes) as bar:
            bar.update(part.stat().st_size if part.exists() else 0)
            try:
                fetched = Transfer(self._settings, self._pace, bar.update).fetch(
                    Source(file.url, file.size_bytes, file.checksum),
                    part,
                    lambda path: check_file(path, "" if file.unpack else file.to, is_zip=file.unpack),
                )
            except Unfetched as failure:
                tries = failure.num_tries + self._ledger.num_tries("file", name)
                return self._ledger.add(replace(entry, reason=str(failure), num_tries=tries))
        if not file.unpack:
            take(part, self._place.staging / file.to)
        return self._ledger.add(
            replace(
                entry, outcome=GOT, num_bytes=fetched.num_bytes, sha256=fetched.sha256,
                num_tries=fetched.num_tries + self._ledger.num_tries("file", name),
                reason="" if file.checksum else "no checksum is published",
            )
        )  # fmt: skip

    def _unpacked(self, file: ReleaseFile, part: Path) -> Entry:
        entry = self._entry("unpacked", file)
        try:
            size = unpacked_size(part)
            what = f"what {_short(file)} holds, {size.num_files:,} files,"
            require_space(self._place.staging, size.num_bytes, what, self._settings.spare_disk_gb)
            with _bar(f"Unpacking {_short(file)}", size.num_bytes) as bar:
                unpack_zip(part, self._place.staging / file.to, go_on=bar.update)
        except ValueError as error:
            return self._ledger.add(replace(entry, reason=str(error).replace(part.name, _short(file))))
        words = f"{size.num_files:,} files, {in_words(size.num_bytes)}, in {file.to}"
        done = self._ledger.add(replace(entry, outcome=GOT, num_bytes=size.num_bytes, reason=words))
        discard(part)
        return done


def _name(file: ReleaseFile) -> str:
    return file.url if file.unpack else file.to


def _short(file: ReleaseFile) -> str:
    """How people call a file; an address may end in anything."""
    return PurePosixPath(urlsplit(file.url).path).name if file.unpack else PurePosixPath(file.to).name


def _bar(title: str, num_bytes: int | None) -> tqdm:
    return tqdm(total=num_bytes, desc=title, unit="B", unit_scale=True, leave=False, disable=None)
