"""Raw files to lesions."""

import logging
from typing import Any

import pandas as pd
from PIL import Image

from slimp_pipeline.cohorts.matched_files import MatchedFiles, match_files
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.contact_sheet import cohort_sheet
from slimp_pipeline.images.packing import Packing, packing_of
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.tables import lesions as lesions_table
from slimp_pipeline.tables.combined import (
    combine,
    facts_of,
    members_of,
    named_by_cohort,
    put_together,
    stored_of,
    told_of,
)
from slimp_pipeline.tables.decisions import read_cohort
from slimp_pipeline.tables.manifest import in_words

logger = logging.getLogger(__name__)


def read_lesions(cohort: CohortSpec, raw_files: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read the tables into rows, and set aside those that are broken or whose images people dropped."""
    readings = [read_cohort(member, files) for member, files in members_of(cohort, raw_files)]
    return (
        put_together(cohort, [reading.rows for reading in readings]),
        put_together(cohort, [reading.quarantine for reading in readings]),
        told_of(cohort, [reading.facts for reading in readings]),
    )


def match_images(
    cohort: CohortSpec,
    rows: pd.DataFrame,
    row_quarantine: pd.DataFrame,
    row_facts: dict[str, Any],
    raw_files: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Bring image files and rows together; list the files that are no row's image."""
    matched = [
        match_files(member, Reading(own_rows, set_aside, facts_of(cohort, member, row_facts)), files)
        for member, own_rows, set_aside, files in members_of(cohort, rows, row_quarantine, raw_files)
    ]
    return (
        put_together(cohort, [files.images for files in matched]),
        put_together(cohort, [files.unused for files in matched]),
        told_of(cohort, [files.notes for files in matched]),
    )


def pack_images(cohort: CohortSpec, image_files: pd.DataFrame, settings: IngestParams) -> Packing:
    """Check and pack the images."""
    return packing_of(named_by_cohort(cohort, image_files), settings)


def link_images(
    cohort: CohortSpec,
    rows: pd.DataFrame,
    row_quarantine: pd.DataFrame,
    row_facts: dict[str, Any],
    image_files: pd.DataFrame,
    other_files: pd.DataFrame,
    file_notes: Any,
    image_store: ImageStore,
    settings: IngestParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Link rows to packed images, validate, and count everything."""
    stored, by_cohort = image_store.table(), {}
    parts = members_of(cohort, rows, row_quarantine, image_files, other_files)
    for member, own_rows, set_aside, files, unused in parts:
        ingested = lesions_table.link_images(
            member,
            Reading(own_rows, set_aside, facts_of(cohort, member, row_facts)),
            MatchedFiles(files, unused, facts_of(cohort, member, file_notes)),
            stored_of(cohort, member, stored),
            settings.max_quarantined_share,
        )
        by_cohort[member.name] = ingested
        logger.info(in_words(ingested.manifest, ingested.diagnoses, ingested.unused_files))
    if cohort.members:
        ingested = combine(cohort, by_cohort, stored)
    return (
        ingested.lesions, ingested.quarantine, ingested.unused_files, ingested.diagnoses, ingested.manifest,
    )  # fmt: skip


def draw_contact_sheet(lesions: pd.DataFrame, image_store: ImageStore) -> Image.Image:
    """Pictures of every diagnosis on one sheet."""
    return cohort_sheet(lesions, image_store)
