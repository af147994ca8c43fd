"""Images of the ISIC Archive, several at once; each is in the ledger as soon as it is there, or can't be got."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from itertools import takewhile

from tqdm import tqdm

from slimp_pipeline.cohorts.downloads.archive import Archive
from slimp_pipeline.cohorts.downloads.contents import digest, picture_suffix
from slimp_pipeline.cohorts.downloads.ledger import FAILED, GOT, Entry, Ledger
from slimp_pipeline.cohorts.downloads.listing import Listing
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.cohorts.downloads.record import Record
from slimp_pipeline.cohorts.downloads.space import require_space
from slimp_pipeline.cohorts.downloads.transfer import Fetched, Transfer, Unfetched, take
from slimp_pipeline.parameters import DownloadParams
from slimp_pipeline.processes.whole import remove

_GIVE_UP_AFTER = 50  # images in a row: whatever is the matter, the next one will fail, too
FOLDER = "images"
_SUFFIXES = (".jpg", ".png")


class _Images:
    """Fetches one image; called by several threads."""

    def __init__(self, archive: Archive, place: Place, settings: DownloadParams, transfer: Transfer) -> None:
        self._archive, self._place, self._settings, self._transfer = archive, place, settings, transfer

    def fetch(self, record: Record) -> Entry:
        """What became of an image."""
        entry = _entry(record)
        if there := self._found(record):
            name, fetched = there
        else:
            part = self._place.parts / record.isic_id
            try:
                fetched = self._transfer.fetch(
                    record.source,
                    part,
                    picture_suffix,
                    renew=lambda: self._archive.renewed(record.isic_id),
                    max_bytes=self._settings.max_image_mb * 1e6,
                )
            except Unfetched as failure:
                return replace(entry, reason=str(failure), num_tries=failure.num_tries)
            name = f"{FOLDER}/{record.isic_id}{picture_suffix(part)}"
            take(part, self._place.staging / name)
        return replace(
            entry, outcome=GOT, name=name, num_bytes=fetched.num_bytes, sha256=fetched.sha256,
            num_tries=fetched.num_tries,
        )  # fmt: skip

    def _found(self, record: Record) -> tuple[str, Fetched] | None:
        """An image that a killed run put in place before it could write that down."""
        for suffix in _SUFFIXES:
            name = f"{FOLDER}/{record.isic_id}{suffix}"
            file = self._place.staging / name
            if file.exists() and file.stat().st_size == record.source.size_bytes:
                return name, Fetched(file.stat().st_size, digest(file), 0)
        return None


def fetch_images(
    listing: Listing, archive: Archive, place: Place, ledger: Ledger, settings: DownloadParams, pace: Pace
) -> list[Entry]:
    """Fetch every image of a listing that isn't there yet.

    Args:
        listing: What is asked for.
        archive: Where from.
        place: Where to.
        ledger: What became of each is added.
        settings: Connections, tries, limits.
        pace: Of all requests; it stops the threads, however this ends.

    Returns:
        An entry for every image that was asked for, in the order of the listing.

    Raises:
        OSError: If there is no room on the disk.
    """
    entries = {record.isic_id: entry for record in listing.records.values() if (entry := _kept(record, place, ledger))}
    waiting = [record for record in listing.records.values() if record.isic_id not in entries]
    num_bytes = sum(record.size_bytes for record in waiting)
    require_space(place.staging, num_bytes, f"what is left, {len(waiting):,} images,", settings.spare_disk_gb)
    with tqdm(total=num_bytes, desc="Images", unit="B", unit_scale=True, leave=False, disable=None) as bar:
        images = _Images(archive, place, settings, Transfer(settings, pace, bar.update))
        failed_in_a_row = 0
        worth_trying = takewhile(lambda _: failed_in_a_row < _GIVE_UP_AFTER, waiting)
        with closing(_in_threads(images.fetch, worth_trying, settings.num_connections, pace)) as results:
            for entry in results:
                tries = entry.num_tries + ledger.num_tries("image", entry.image_id)
                entries[entry.image_id] = ledger.add(replace(entry, num_tries=tries))
                failed_in_a_row = failed_in_a_row + 1 if entry.outcome == FAILED else 0
    for record in waiting:
        if record.isic_id not in entries:
            reason = f"not tried: {_GIVE_UP_AFTER} images in a row failed before it"
            entries[record.isic_id] = ledger.add(replace(_entry(record), reason=reason))
    _remove_withdrawn(listing, place, ledger)
    return [*(entries[name] for name in listing.records), *_never_listed(listing, ledger)]


def _entry(record: Record) -> Entry:
    """Of an image that isn't there yet."""
    name = f"{FOLDER}/{record.isic_id}"
    return Entry("image", name, FAILED, record.isic_id, licence=record.licence, attribution=record.attribution)


def _kept(record: Record, place: Place, ledger: Ledger) -> Entry | None:
    """The entry of an image that an earlier run got, and that is as the archive lists it now."""
    entry = ledger.got("image", record.isic_id)
    if entry is None or entry.num_bytes != record.source.size_bytes:
        return None
    file = place.staging / entry.name
    return entry if file.is_file() and file.stat().st_size == entry.num_bytes else None


def _remove_withdrawn(listing: Listing, place: Place, ledger: Ledger) -> None:
    """Images that an earlier run got, and that the archive doesn't list any more."""
    for entry in [entry for entry in ledger if entry.kind == "image" and entry.outcome == GOT]:
        if entry.image_id not in listing.records:
            remove(place.staging / entry.name)
            ledger.add(replace(entry, outcome=FAILED, reason="the archive doesn't list it any more"))


def _never_listed(listing: Listing, ledger: Ledger) -> Iterator[Entry]:
    """Images that nothing could be asked for: listed wrongly, or counted alone."""
    for words in listing.wrong:
        shown, _, reason = words.partition(": ")
        yield ledger.add(Entry("image", "", FAILED, shown, reason=reason))
    for number in range(1, listing.num_unlisted + 1):
        reason = "the archive counts it, and lists it on no page"
        yield ledger.add(Entry("image", "", FAILED, f"unlisted {number}", reason=reason))


def _in_threads(
    function: Callable[[Record], Entry], items: Iterable[Record], num_threads: int, pace: Pace
) -> Generator[Entry]:
    """Results as they come. Whoever takes no more, or is stopped, lets the threads end at their next chunk."""
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="download")
    working: set[Future[Entry]] = set()
    try:
        for item in items:
            working.add(pool.submit(function, item))
            if len(working) >= 2 * num_threads:
                done, working = wait(working, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while working:
            done, working = wait(working, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        if working:
            pace.stop()
        pool.shutdown(wait=True, cancel_futures=True)
