"""Lesions to patients, splits and encodings."""

from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.combined import tested_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.duplicates import find_duplicates
from slimp_pipeline.tables.encoding import fit_encodings
from slimp_pipeline.tables.levels import say_what_stands_alone, settle_where_three
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.tables.splits import ALL, training_partitions, usable_rows


def group_patients(
    cohort: CohortSpec, lesions: pd.DataFrame, settings: FeatureParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """One row per patient; where a patient's rows differ; with three levels where a lesion's do."""
    fields = choose_fields(cohort, lesions, settings)
    say_what_stands_alone(cohort.name, usable_rows(lesions), fields)
    return *build_patients(lesions, fields), settle_where_three(lesions, fields)[1]


def encode(
    cohort: CohortSpec,
    target: CohortSpec,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    splits: pd.DataFrame,
    settings: FeatureParams,
) -> dict[str, Any]:
    """One encoding per partition of the target, fitted on the rows that may be trained on; `all` on every split row."""
    training = {ALL: splits} | training_partitions(splits, tested_N=tested_rows(cohort, target, splits["image_id"]))
    encodings = fit_encodings(lesions, patients, training, choose_fields(cohort, lesions, settings), cohort.nuisance)
    swapped = {"swapped_levels": settings.swapped_levels}
    return {name: encoding.model_dump(mode="json") | swapped for name, encoding in encodings.items()}


def compare_photographs(
    lesions: pd.DataFrame, splits: pd.DataFrame, image_store: ImageStore, settings: FeatureParams
) -> pd.DataFrame:
    """Pairs of images of different patients that show the same picture or lesion."""
    images = splits.merge(lesions[["image_id", "lesion_id", "store_index"]], on="image_id")
    return find_duplicates(image_store.pictures(images), settings.near_duplicate_bits)
