"""Raw files to lesions."""

import logging
from typing import Any

import pandas as pd
from PIL import Image

from slimp_pipeline.cohorts.files.raw_files import decisions_path, table_paths
from slimp_pipeline.cohorts.matched_files import MatchedFiles, match_files
from slimp_pipeline.cohorts.rows.reader import Reading, read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.contact_sheet import cohort_sheet
from slimp_pipeline.images.packing import Packing, packing_of
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.tables import lesions as lesions_table
from slimp_pipeline.tables.decisions import apply_decisions
from slimp_pipeline.tables.manifest import in_words

logger = logging.getLogger(__name__)


def read_lesions(cohort: CohortSpec, raw_files: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read the tables into rows, and set aside those that are broken or whose images people dropped."""
    reading = read_rows(cohort, table_paths(raw_files))
    if decisions := decisions_path(raw_files):
        reading = apply_decisions(reading, decisions)
    return reading.rows, reading.quarantine, reading.facts


def match_images(
    cohort: CohortSpec,
    rows: pd.DataFrame,
    row_quarantine: pd.DataFrame,
    row_facts: dict[str, Any],
    raw_files: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Bring image files and rows together; list the files that are no row's image."""
    files = match_files(cohort, Reading(rows, row_quarantine, row_facts), raw_files)
    return files.images, files.unused, files.notes


def pack_images(image_files: pd.DataFrame, settings: IngestParams) -> Packing:
    """Check and pack the images."""
    return packing_of(image_files, settings)


def link_images(
    cohort: CohortSpec,
    rows: pd.DataFrame,
    row_quarantine: pd.DataFrame,
    row_facts: dict[str, Any],
    image_files: pd.DataFrame,
    other_files: pd.DataFrame,
    file_notes: list[str],
    image_store: ImageStore,
    settings: IngestParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Link rows to packed images, validate, and count everything."""
    ingested = lesions_table.link_images(
        cohort,
        Reading(rows, row_quarantine, row_facts),
        MatchedFiles(image_files, other_files, file_notes),
        image_store.table(),
        settings.max_quarantined_share,
    )
    logger.info(in_words(ingested.manifest, ingested.diagnoses, ingested.unused_files))
    return (
        ingested.lesions, ingested.quarantine, ingested.unused_files, ingested.diagnoses, ingested.manifest,
    )  # fmt: skip


def draw_contact_sheet(lesions: pd.DataFrame, image_store: ImageStore) -> Image.Image:
    """Pictures of every diagnosis on one sheet."""
    return cohort_sheet(lesions, image_store)
