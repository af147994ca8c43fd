"""One file over HTTP: tried again where that may help, gone on with where the server allows, and checked."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import requests

from slimp_pipeline.cohorts.downloads.answers import (
    NETWORK_ERRORS,
    Expired,
    Failed,
    Vanished,
    length_of,
    mark_of,
    network_error_in_words,
    refuse_other_answers,
    start_of,
)
from slimp_pipeline.cohorts.downloads.contents import digest
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.space import in_words, require_space
from slimp_pipeline.parameters import DownloadParams
from slimp_pipeline.processes.whole import remove

_CHUNK_BYTES = 2**18
_CONNECT_S = 10.0
_FIRST_WAIT_S = 1.0
_MIN_BYTES_PER_S = 1000  # over `timeout_s`; what is slower counts as no answer
_LARGE_BYTES = 10**7  # of a file that isn't fetched only to see what it is


@dataclass(frozen=True)
class Source:
    """Where a file is, and what is known of it."""

    url: str
    size_bytes: int | None = None
    checksum: str | None = None  # sha256:... or md5:...


@dataclass(frozen=True)
class Fetched:
    """A file that came whole."""

    num_bytes: int
    sha256: str
    num_tries: int


class Unfetched(Exception):
    """A file that couldn't be got, and why.

    Attributes:
        num_tries: How often it was asked for.
    """

    def __init__(self, reason: str, num_tries: int) -> None:
        super().__init__(reason)
        self.num_tries = num_tries


class Transfer:
    """Fetches files, from any number of threads.

    Args:
        settings: Tries, waits, limits.
        pace: Of all requests.
        on_bytes: Told of bytes that came.
    """

    def __init__(
        self, settings: DownloadParams, pace: Pace, on_bytes: Callable[[int], object] = lambda _: None
    ) -> None:
        self._settings, self._pace, self._on_bytes = settings, pace, on_bytes
        self._own = threading.local()  # a session isn't for several threads at once

    def fetch(
        self,
        source: Source,
        part: Path,
        check: Callable[[Path], object],
        *,
        renew: Callable[[], Source] | None = None,
        max_bytes: float = float("inf"),
    ) -> Fetched:
        """Fetch a file; what is there of it already is gone on with.

        Args:
            source: Where it is.
            part: Where it is written; it stays where the file didn't come whole.
            check: Raises ValueError if what came isn't what was asked for.
            renew: Says where it is now, where its address has expired; raises `Vanished` if it is nowhere, and
                ConnectionError if that can't be asked.
            max_bytes: More than that is refused.

        Raises:
            Unfetched: If it couldn't be got; says why.
            Interrupted: If the run is being stopped.
            OSError: If the disk is full.
        """
        part.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, self._settings.max_tries + 1):
            try:
                self._stream(source, part, max_bytes)
                return _checked(source, part, check, number)
            except Vanished as gone:
                discard(part)
                raise Unfetched(str(gone), number) from None
            except Failed as failure:
                failed = failure
            except NETWORK_ERRORS as error:
                failed = Failed(f"{network_error_in_words(error)}; {in_words(_size(part))} came so far")
            if failed.anew:
                discard(part)
            if number == self._settings.max_tries or (isinstance(failed, Expired) and not renew):
                break
            self._wait(failed, number)
            if failed.renew and renew:
                source = _renewed(source, renew, number)
        raise Unfetched(str(failed), number)

    def _stream(self, source: Source, part: Path, max_bytes: float) -> None:
        """Ask for a file, or for the rest of it, and write what comes."""
        asked = _size(part)
        if asked and asked == source.size_bytes:
            return
        mark = _mark(part).read_text(encoding="utf-8") if _mark(part).exists() else ""
        if not mark and not source.checksum:  # nothing would tell whether the rest is of the same file
            asked = 0
        headers = {"Range": f"bytes={asked}-"} | ({"If-Range": mark} if mark else {}) if asked else {}
        self._pace.turn()
        timeout = (_CONNECT_S, self._settings.timeout_s)
        with self._session().get(source.url, headers=headers, stream=True, timeout=timeout) as response:
            refuse_other_answers(response)
            start, length = start_of(response, asked), length_of(response)
            total = None if length is None else start + length
            if total and total > max_bytes:
                raise Vanished(f"it has {in_words(total)}, more than the {in_words(max_bytes)} that are allowed")
            _refuse_other_size(source, total, has_part=asked > 0)
            require_space(part.parent, length or 0, part.name, self._settings.spare_disk_gb)
            _mark(part).write_text(mark_of(response), encoding="utf-8")
            num_bytes = self._write(response, part, start, max_bytes)
        if total not in (None, num_bytes):
            raise Failed(f"{in_words(num_bytes)} of {in_words(total or 0)} came")

    def _write(self, response: requests.Response, part: Path, start: int, max_bytes: float) -> int:
        """Write what comes; returns the bytes that are there now."""
        num_bytes = seen_bytes = start
        seen_at = time.monotonic()
        with part.open("ab" if start else "wb") as file:
            while chunk := response.raw.read1(_CHUNK_BYTES):
                num_bytes += file.write(chunk)
                self._on_bytes(len(chunk))
                self._pace.go_on()
                if num_bytes > max_bytes:
                    raise Vanished(f"it has more than the {in_words(max_bytes)} that are allowed")
                if (passed := time.monotonic() - seen_at) > self._settings.timeout_s:
                    if num_bytes - seen_bytes < _MIN_BYTES_PER_S * passed:
                        raise Failed(f"slower than {in_words(_MIN_BYTES_PER_S)} a second for {passed:.0f} s")
                    seen_bytes, seen_at = num_bytes, time.monotonic()
        return num_bytes

    def _wait(self, failed: Failed, number: int) -> None:
        """As long as the server asks; else twice as long after each try, and not the same for all."""
        if failed.hold_s is not None:
            self._pace.hold(min(failed.hold_s, self._settings.max_wait_s))
        elif not failed.at_once:
            longest = min(self._settings.max_wait_s, _FIRST_WAIT_S * 2 ** (number - 1))
            self._pace.rest(longest * random.uniform(0.5, 1.0))

    def _session(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            session = requests.Session()
            session.headers.update({"User-Agent": "slimp-pipeline", "Accept-Encoding": "identity"})
            self._own.session = session
        return cast(requests.Session, self._own.session)


def _renewed(source: Source, renew: Callable[[], Source], number: int) -> Source:
    """Where a file is now; where that can't be asked, it is tried as before."""
    try:
        return renew()
    except Vanished as gone:
        raise Unfetched(str(gone), number) from None
    except ConnectionError:
        return source


def _checked(source: Source, part: Path, check: Callable[[Path], object], number: int) -> Fetched:
    """Hold what came against what was asked for."""
    num_bytes = part.stat().st_size
    try:
        check(part)
    except ValueError as error:
        raise Failed(f"{error} came ({num_bytes:,} bytes)", renew=True, anew=True) from None
    if source.size_bytes not in (None, num_bytes):
        raise Failed(f"{num_bytes:,} bytes came instead of {source.size_bytes:,}", renew=True, anew=True)
    if source.checksum:
        method, _, expected = source.checksum.partition(":")
        if (found := digest(part, method)) != expected:
            raise Failed(f"its checksum is {method}:{found}, not the published {source.checksum}", anew=True)
    return Fetched(num_bytes, digest(part), number)


def _refuse_other_size(source: Source, total: int | None, *, has_part: bool) -> None:
    """Keep a part, or a long wait, from what can't be the file; what is small may come, and tell what it is."""
    known = source.size_bytes is not None and total is not None
    if known and total != source.size_bytes and (has_part or (total or 0) > _LARGE_BYTES):
        raise Failed(f"{total:,} bytes are announced instead of {source.size_bytes:,}", renew=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mark(part: Path) -> Path:
    """Beside a part, what the server called the file that it is of."""
    return part.with_name(f"{part.name}.etag")


def discard(part: Path) -> None:
    """Remove a part that is of no use."""
    remove(part)
    remove(_mark(part))


def take(part: Path, target: Path) -> None:
    """Give a part that is whole its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    remove(_mark(part))
