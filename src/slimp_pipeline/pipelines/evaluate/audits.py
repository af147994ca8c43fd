"""What the results rest on: metadata that get worse or are missing, groups of patients."""

from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.fabricated import tbp_truth
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation import known_truth, robustness, subgroups
from slimp_pipeline.evaluation.embed import evaluation_rows, named_encoders
from slimp_pipeline.evaluation.missingness import missingness_audit
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, FeatureParams
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.missing import choose_fields


def test_robustness(
    target: CohortSpec,
    lesions: pd.DataFrame,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: dict[str, np.ndarray],
    encoders: dict[str, Checkpoint],
    adapted: dict[str, Checkpoint],
    encodings: dict[str, Any],
    features: FeatureParams,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Results as test metadata get worse."""
    named, fields = named_encoders(encoders, adapted), choose_fields(target, lesions, features)
    return robustness.measure_robustness(
        rows, splits, embeddings, named, validated(encodings), fields, target.name, settings
    )


def audit(target: CohortSpec, lesions: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """What missing fields alone tell of the label."""
    return missingness_audit(lesions, target.fields, settings)


def group(
    predictions: pd.DataFrame,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    splits: pd.DataFrame,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Results of groups of patients; by fields that need not be features."""
    return subgroups.subgroup_table(predictions, evaluation_rows(lesions, patients, splits), settings)


def find_known_truth(
    target: CohortSpec,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: dict[str, np.ndarray],
    encoders: dict[str, Checkpoint],
    adapted: dict[str, Checkpoint],
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Whether the causes of a fabricated cohort are found in the embeddings; nothing for a real one."""
    made = target.fabricated
    if made is None or made.layout != "tbp":
        return pd.DataFrame(columns=known_truth.TRUTH_COLUMNS)
    truth = tbp_truth(made.num_patients, made.seed)
    return known_truth.find_truth(rows, splits, truth, embeddings, named_encoders(encoders, adapted), settings)
