"""What predictions rest on, and what an encoder has learnt of patients."""

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits import leak_table, saliency
from slimp_pipeline.evaluation.features.phenotypes import map_phenotypes
from slimp_pipeline.evaluation.features.ugly_ducklings import ugly_duckling_table
from slimp_pipeline.evaluation.protocols.pairs import find_pairs
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams


def count_leaks(
    source: CohortSpec,
    target: CohortSpec,
    training_rows: pd.DataFrame,
    adaptation_rows: pd.DataFrame,
    splits: pd.DataFrame,
    duplicates: pd.DataFrame,
    seen_pictures: pd.DataFrame,
) -> pd.DataFrame:
    """What was looked at for leaks, and what was found."""
    return leak_table.leak_table(source, target, training_rows, adaptation_rows, splits, duplicates, seen_pictures)


def look_closer(
    target: TargetCohort, image_store: ImageStore, settings: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """Phenotypes on a plane, lesions that stand out, pairs that are found, and what predictions rest on, by pixel."""
    return (
        map_phenotypes(target, settings),
        ugly_duckling_table(target),
        find_pairs(target, settings),
        *saliency.explain_predictions(target, image_store, settings),
    )
