"""All images that are asked of the archive, though its pages may shift while they are read."""

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from slimp_pipeline.cohorts.downloads.archive import Archive, in_words
from slimp_pipeline.cohorts.downloads.record import Record
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery
from slimp_pipeline.processes.whole import appearing_whole

logger = logging.getLogger(__name__)
_MAX_READINGS = 3
_FIRST_COLUMNS = ["isic_id", "attribution", "copyright_license"]


@dataclass
class Listing:
    """What the archive lists.

    Attributes:
        records: By id, in the order of the archive.
        wrong: Images that are listed wrongly, and how.
        num_counted: How many there should be, as the archive counts them.
    """

    num_counted: int
    records: dict[str, Record] = field(default_factory=dict)
    wrong: dict[str, None] = field(default_factory=dict)

    @property
    def num_listed(self) -> int:
        """Images that were listed, rightly or wrongly."""
        return len(self.records) + len(self.wrong)

    @property
    def num_unlisted(self) -> int:
        """Images that are counted and never came up on a page."""
        return max(0, self.num_counted - self.num_listed)


def list_images(archive: Archive, query: ArchiveQuery, max_images: int | None) -> Listing:
    """List all images that fit a query; read again where fewer came than the archive counts.

    Args:
        archive: Where.
        query: Which, its DOI looked up.
        max_images: Only the first so many; None: all.

    Raises:
        ValueError: If none fits, or none has any metadata.
        OSError: If the archive doesn't answer.
    """
    num_counted = archive.count(query)
    if not num_counted:
        raise ValueError(f"the archive {archive.address} has no image for {in_words(query)}")
    listing = Listing(min(num_counted, max_images or num_counted))
    for reading in range(_MAX_READINGS):
        _read_pages(listing, archive, query, max_images)
        if not listing.num_unlisted:
            break
        if reading < _MAX_READINGS - 1:
            logger.info(
                "%s of %s images were listed: the pages shifted while they were read. Reading them again",
                f"{listing.num_listed:,}",
                f"{listing.num_counted:,}",
            )
    if not listing.records:
        raise ValueError(f"the archive {archive.address} counts {num_counted:,} images and lists none that can be got")
    if not any(record.cells for record in listing.records.values()):
        raise ValueError(
            f"the archive {archive.address} gives no metadata of any of {len(listing.records):,} images: an empty table"
        )
    return listing


def write_metadata(records: Sequence[Record], file: Path) -> None:
    """Write metadata.csv as isic-cli does: ids, attribution and licence first, then every field that an image fills."""
    columns = sorted({name for record in records for name in record.cells} - set(_FIRST_COLUMNS))
    with appearing_whole(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, [*_FIRST_COLUMNS, *columns])
        writer.writeheader()
        for record in records:
            first = zip(_FIRST_COLUMNS, (record.isic_id, record.attribution, record.licence), strict=True)
            writer.writerow({**record.cells, **dict(first)})


def _read_pages(listing: Listing, archive: Archive, query: ArchiveQuery, max_images: int | None) -> None:
    with tqdm(
        total=listing.num_counted, initial=listing.num_listed, desc="Listing", unit="img", leave=False, disable=None
    ) as bar:
        for record in archive.records(query):
            before = listing.num_listed
            if isinstance(record, str):
                listing.wrong[record] = None
            else:
                listing.records.setdefault(record.isic_id, record)
            bar.update(listing.num_listed - before)
            if max_images and listing.num_listed >= max_images:
                return
