"""What was got is put in place, whole and with its licences; or what is missing is said."""

import logging
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.downloads.ledger import FAILED, GOT
from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.cohorts.downloads.request import download_of, how_by_hand, request_of
from slimp_pipeline.cohorts.downloads.space import in_words
from slimp_pipeline.cohorts.downloads.spec import DownloadSpec
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import DownloadParams

logger = logging.getLogger(__name__)
ATTRIBUTION = "ATTRIBUTION.txt"
_TABLE = "ledger.parquet"
_NUM_SHOWN = 5


def land_cohort(spec: CohortSpec, raw_root: Path, settings: DownloadParams, ledger: pd.DataFrame) -> dict[str, Any]:
    """Put what was got in its place, in one step, with its licences beside it.

    Args:
        spec: The cohort.
        raw_root: Folder that holds one folder per cohort.
        settings: The share of the archive's images that may be missing.
        ledger: What `fetch_cohort` returned.

    Returns:
        What was asked for, what came, under which licences, and where it is.

    Raises:
        ValueError: If something is missing; says what, why, and what to do.
    """
    download, place = download_of(spec), Place.of(raw_root, spec.folder)
    _require_whole(spec, download, place, settings, ledger)
    summary = _summary(spec, place, request_of(spec, download, settings), ledger)
    if not (download.is_by_hand or place.is_others):
        with place.held():
            if place.stamp() is None:
                ledger.to_parquet(place.staging / _TABLE, index=False)
                (place.staging / ATTRIBUTION).write_text(_attribution(spec, summary), encoding="utf-8")
                place.land(summary)
    logger.info(_said(spec, summary))
    return summary


def looked_at(place: Place) -> pd.DataFrame:
    """The ledger of a download that is in place; files that are gone or differ since have failed."""
    ledger = pd.read_parquet(place.target / _TABLE)
    fetched = ledger[ledger["outcome"].eq(GOT) & ledger["kind"].isin(["image", "file"])]
    for row, name, num_bytes in fetched[["name", "num_bytes"]].itertuples():
        file = place.target / name
        if "://" in name:  # a zip file, which isn't kept
            continue
        there = file.stat().st_size if file.is_file() else None
        if there != num_bytes:
            reason = "it is gone since" if there is None else f"it has {there:,} bytes now, {num_bytes:,} came"
            ledger.loc[row, ["outcome", "reason"]] = [FAILED, reason]
    return ledger


def _require_whole(
    spec: CohortSpec, download: DownloadSpec, place: Place, settings: DownloadParams, ledger: pd.DataFrame
) -> None:
    failed = ledger[ledger["outcome"] == FAILED]
    of_archive = ledger["kind"].eq("image")
    share = failed["kind"].eq("image").sum() / max(1, of_archive.sum())
    if failed.empty or (failed["kind"].eq("image").all() and share <= settings.max_missing_share):
        return
    of = f"{len(failed):,} of {len(ledger):,} things that were asked for"
    said = [f"cohort {spec.name} isn't whole: {of} are missing or differ"]
    for reason, rows in sorted(failed.groupby("reason"), key=lambda group: -len(group[1])):
        names = rows["image_id"].where(rows["image_id"].ne(""), rows["name"])
        said.append(
            f"  {len(rows):,} x {reason} ({', '.join(names.head(_NUM_SHOWN))}{' …' * (len(rows) > _NUM_SHOWN)})"
        )
    said.append(_what_to_do(spec, download, place, share, failed))
    raise ValueError("\n".join(said))


def _what_to_do(spec: CohortSpec, download: DownloadSpec, place: Place, share: float, failed: pd.DataFrame) -> str:
    if download.is_by_hand:
        return how_by_hand(spec, download, place, "What is missing is got by a person")
    advice = (
        "Run again: what is there is kept, and only the rest is asked for. All of it is told in download_ledger.csv."
    )
    if place.is_others:
        advice = f"No download put these files there, so none is touched. To download them: move {place.target} away."
    elif place.target.exists():
        advice = f"To get what is missing: mv {place.target} {place.staging}, then run again."
    if failed["kind"].eq("image").all():
        allowed = math.ceil(share * 1000) / 1000
        advice += f"\nTo go on without these images: --params=cohort={spec.name},download.max_missing_share={allowed:g}"
    elif download.steps:
        advice += "\n" + how_by_hand(spec, download, place, "Or a person gets it")
    return advice


def _summary(spec: CohortSpec, place: Place, request: dict[str, Any], ledger: pd.DataFrame) -> dict[str, Any]:
    got, images = ledger[ledger["outcome"] == GOT], ledger[ledger["kind"] == "image"]
    fetched = got[got["kind"].isin(["image", "file"])]
    there = got if fetched.empty else fetched  # what a person put there was only looked at
    licences = there.groupby(["licence", "attribution"], sort=True).size().sort_values(ascending=False, kind="stable")
    return {
        "cohort": spec.name,
        "folder": str(place.target),
        "request": request,
        "licence": spec.licence,
        "source": spec.source,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "num_images_asked_for": len(images),
        "num_images": int(images["outcome"].eq(GOT).sum()),
        "num_bytes": int(there["num_bytes"].sum()),
        "licences": [
            {"licence": licence, "attribution": attribution, "number": int(number)}
            for (licence, attribution), number in licences.items()
        ],
    }


def _attribution(spec: CohortSpec, summary: dict[str, Any]) -> str:
    """Whom to name, and under which licence each part may be used."""
    lines = [
        f"{spec.title}. Licence: {spec.licence}. Source: {spec.source}. Got {summary['at'][:10]}.",
        "",
        "number  licence  attribution",
        *(
            f"{part['number']}  {part['licence'] or '(none stated)'}  {part['attribution'] or '(none stated)'}"
            for part in summary["licences"]
        ),
    ]
    return "\n".join(lines) + "\n"


def _said(spec: CohortSpec, summary: dict[str, Any]) -> str:
    counted = ""
    if summary["num_images_asked_for"]:
        counted = f"{summary['num_images']:,} of {summary['num_images_asked_for']:,} images, "
    return (
        f"{spec.name}: {counted}{in_words(summary['num_bytes'])} in {summary['folder']}; licence: {spec.licence}\n"
        f"Next:     kedro run --pipeline=ingest --namespaces=target --params=target_cohort={spec.name}"
    )
