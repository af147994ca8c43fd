"""Raw files to lesions."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from slimp_pipeline.cohorts.reader import read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.contact_sheet import cohort_sheet
from slimp_pipeline.images.store import ImageStore, Packing, pack, packing_key
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.tables import lesions as lesions_table

logger = logging.getLogger(__name__)


def read_lesions(cohort: CohortSpec, raw_files: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the tables into rows, and set broken rows aside."""
    return read_rows(cohort, [Path(path) for path in raw_files.loc[raw_files["role"] == "table", "path"]])


def pack_images(rows: pd.DataFrame, raw_files: pd.DataFrame, settings: IngestParams) -> Packing:
    """Check and pack the images that a row names."""
    images = raw_files[(raw_files["role"] == "image") & raw_files["image_id"].isin(rows["image_id"])]
    return Packing(packing_key(images, settings), partial(pack, images, settings))


def link_images(
    cohort: CohortSpec,
    rows: pd.DataFrame,
    row_quarantine: pd.DataFrame,
    raw_files: pd.DataFrame,
    image_store: ImageStore,
    settings: IngestParams,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Link rows to packed images, validate, and count everything."""
    listed = set(rows["image_id"]) | set(row_quarantine["image_id"])
    images = raw_files[raw_files["role"] == "image"]
    lesions, quarantine, manifest = lesions_table.link_images(
        cohort,
        rows,
        row_quarantine,
        image_store.table(),
        int((~images["image_id"].isin(listed)).sum()),
        settings.max_quarantined_share,
    )
    logger.info(lesions_table.counted(manifest))
    return lesions, quarantine, manifest


def draw_contact_sheet(lesions: pd.DataFrame, image_store: ImageStore) -> Image.Image:
    """Pictures of every diagnosis on one sheet."""
    return cohort_sheet(lesions, image_store)
