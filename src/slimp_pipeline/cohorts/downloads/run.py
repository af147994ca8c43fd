"""A cohort's files are got, each accounted for; they are put in place by `landing`."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slimp_pipeline.cohorts.downloads.expected import check_expected
from slimp_pipeline.cohorts.downloads.landing import looked_at
from slimp_pipeline.cohorts.downloads.ledger import GOT, Entry, Ledger, as_table
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.place import Place, request_in_words
from slimp_pipeline.cohorts.downloads.releases import fetch_release
from slimp_pipeline.cohorts.downloads.request import download_of, how_by_hand, query_of, request_of
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery, DownloadSpec
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import DownloadParams

if TYPE_CHECKING:
    from slimp_pipeline.cohorts.downloads.archive import Archive
logger = logging.getLogger(__name__)


def fetch_cohort(spec: CohortSpec, raw_root: Path, settings: DownloadParams) -> pd.DataFrame:
    """Get a cohort's files into a hidden folder beside the cohort's; nothing that failed is passed over.

    What an earlier run got of the same request isn't got again. Files that a person has to put there are looked at.

    Args:
        spec: The cohort.
        raw_root: Folder that holds one folder per cohort.
        settings: Where the archive is, what is asked of it, how often and how fast.

    Returns:
        The ledger: a row for everything that was asked for, columns of `ledger.Entry`.

    Raises:
        ValueError: If the cohort can't be downloaded, or the archive has nothing of what is asked for.
        FileNotFoundError: If a person has to put its files there, and hasn't yet; says how.
        FileExistsError: If the cohort's folder holds something else.
        OSError: If the archive doesn't answer, or there is no room on the disk.
    """
    download = download_of(spec)
    request = request_of(spec, download, settings)
    place = Place.of(raw_root, spec.folder)
    if download.is_by_hand or (place.is_others and download.expected.is_known):
        return _put_there(spec, download, place)
    with place.held():
        if (stamp := place.stamp()) is not None:
            _require_same_request(stamp.get("request", {}), request, place)
            return looked_at(place)
        place.begin({name: asked for name, asked in request.items() if name != "max_images"})
        ledger, pace = Ledger(place.ledger), Pace(settings.requests_per_second)
        entries = fetch_release(spec, place, ledger, settings, pace) if download.files else []
        if download.archive:
            entries += _from_archive(query_of(spec, download.archive, settings), place, ledger, settings, pace)
        if all(entry.outcome == GOT for entry in entries):
            entries += [ledger.add(entry) for entry in check_expected(spec, place.staging)]
    return as_table(entries)


def _from_archive(
    query: ArchiveQuery, place: Place, ledger: Ledger, settings: DownloadParams, pace: Pace
) -> list[Entry]:
    try:
        from slimp_pipeline.cohorts.downloads import archive as isic
        from slimp_pipeline.cohorts.downloads.images import fetch_images
        from slimp_pipeline.cohorts.downloads.listing import list_images, write_metadata
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the ISIC Archive is asked by the Python package isic-cli ({error.name} isn't installed): pip install "
            "'slimp-pipeline[download]', or, in a checkout, pip install -e '.[download]'"
        ) from error
    archive = isic.Archive(settings, pace)
    found = archive.require_query(query)
    listing = list_images(archive, found, settings.max_images)
    logger.info("%s: %s images", isic.in_words(query), f"{listing.num_counted:,}")
    write_metadata(list(listing.records.values()), place.staging / "metadata.csv")
    _write_licences(archive, {record.licence for record in listing.records.values()}, place)
    return fetch_images(listing, archive, place, ledger, settings, pace)


def _write_licences(archive: "Archive", names: set[str], place: Place) -> None:
    """Texts of the licences; where the archive has none, their names stand in ATTRIBUTION.txt all the same."""
    folder = place.staging / "licences"
    for name in sorted(names):
        text = archive.licence_text(name)
        if text is None:
            logger.warning("the archive has no text of the licence '%s': look it up yourself", name or "(none stated)")
        else:
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def _put_there(spec: CohortSpec, download: DownloadSpec, place: Place) -> pd.DataFrame:
    """Look at what a person put there; nothing in it is touched."""
    if not place.target.is_dir() or not any(place.target.iterdir()):
        raise FileNotFoundError(how_by_hand(spec, download, place, f"{spec.title} needs a person to get it"))
    return as_table(check_expected(spec, place.target))


def _require_same_request(earlier: dict[str, Any], request: dict[str, Any], place: Place) -> None:
    if earlier != request:
        raise FileExistsError(
            f"{place.target} holds another download ({request_in_words(earlier)}), not what is asked for now "
            f"({request_in_words(request)}). Move it away, or give this one a cohort of its own: a YAML with another "
            "`folder`"
        )
