"""What is asked for: by a cohort's YAML, or by the settings; and what a person has to do."""

from typing import Any

from pydantic import ValidationError

from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery, DownloadSpec
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import DownloadParams

_SNAPSHOT = "https://isic-archive.s3.us-east-1.amazonaws.com/snapshots/ISIC_images.zip"


def download_of(spec: CohortSpec) -> DownloadSpec:
    """How a cohort's files are got.

    Raises:
        ValueError: If its YAML doesn't say.
    """
    if spec.fabricated:
        raise ValueError(
            f"cohort {spec.name} is fabricated, by `kedro run --pipeline=fabricate`: there is nothing to download. "
            "Name a cohort: --params=cohort=hiba"
        )
    if spec.download is None:
        raise ValueError(
            f"the YAML of cohort {spec.name} has no `download`: it doesn't say how its files are got. They are "
            f"described at {spec.source}"
        )
    return spec.download


def request_of(spec: CohortSpec, download: DownloadSpec, settings: DownloadParams) -> dict[str, Any]:
    """What is asked for, by which a download is known again.

    Raises:
        ValueError: If the settings ask the archive for a cohort that isn't got there, or for nothing.
    """
    request: dict[str, Any] = {"files": [f"{file.url} -> {file.to}" for file in download.files]}
    if download.archive:
        query = query_of(spec, download.archive, settings)
        request |= {"archive": settings.archive, **query.model_dump(), "max_images": settings.max_images}
    elif settings.collections or settings.doi or settings.search:
        raise ValueError(
            f"cohort {spec.name} isn't got from the ISIC Archive: leave download.collections, doi and search out, or "
            "take --params=cohort=isic_archive"
        )
    return request


def query_of(spec: CohortSpec, asked: ArchiveQuery, settings: DownloadParams) -> ArchiveQuery:
    """What the settings ask of the archive, else what the cohort's YAML does.

    Raises:
        ValueError: If neither asks for anything, or what is asked for can't be.
    """
    try:
        given = ArchiveQuery(collections=settings.collections, doi=settings.doi, search=settings.search)
    except ValidationError as error:
        words = error.errors()[0]
        raise ValueError(f"download.{words['loc'][0]}: {words['msg'].removeprefix('Value error, ')}") from None
    query = asked if given.is_empty else given
    if query.is_empty:
        raise ValueError(
            f"cohort {spec.name}: which images of the ISIC Archive? Name collections (download.collections=251), a DOI "
            "(download.doi=10.34970/587329) or a search (download.search='diagnosis_1:Malignant') in --params. All of "
            f"them at once are better taken from {_SNAPSHOT} (60 GB)"
        )
    return query


def how_by_hand(spec: CohortSpec, download: DownloadSpec, place: Place, why: str) -> str:
    """The steps that a person has to take."""
    steps = [f"  {number}. {step}" for number, step in enumerate(download.steps, start=1)]
    return "\n".join(
        [
            f"{why} ({spec.source}; licence: {spec.licence}). Into {place.target.absolute()}:",
            *steps,
            f"Then run this again: it looks whether all is there (--params=cohort={spec.name})",
        ]
    )
