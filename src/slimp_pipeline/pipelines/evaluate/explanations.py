"""What predictions rest on, and what an encoder has learnt of patients."""

from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits import controls, importance, leak_table, saliency
from slimp_pipeline.evaluation.features import phenotypes
from slimp_pipeline.evaluation.features.embed import named_encoders
from slimp_pipeline.evaluation.features.ugly_ducklings import ugly_duckling_table
from slimp_pipeline.evaluation.protocols import pairs
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, FeatureParams
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.missing import choose_fields

Encoders = dict[str, Checkpoint]
Arrays = dict[str, np.ndarray]


def weigh_fields(
    target: CohortSpec,
    lesions: pd.DataFrame,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: Arrays,
    encoders: Encoders,
    adapted: Encoders,
    encodings: dict[str, Any],
    features: FeatureParams,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """How much probes rest on each field."""
    named, fields = named_encoders(encoders, adapted), choose_fields(target, lesions, features)
    name = features.result_name(target.name)
    tested = TargetCohort(name, rows, splits, embeddings, validated(encodings), named)
    return importance.measure_importance(tested, fields, settings)


def control(
    target: CohortSpec,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: Arrays,
    features: FeatureParams,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """What strangers' metadata add to images."""
    tested = TargetCohort(features.result_name(target.name), rows, splits, embeddings)
    return controls.measure_controls(tested, settings)


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
    target: CohortSpec,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    image_store: ImageStore,
    embeddings: Arrays,
    encoders: Encoders,
    adapted: Encoders,
    settings: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, Arrays]:
    """Phenotypes on a plane, lesions that stand out, pairs that are found, and what predictions rest on, by pixel."""
    known = TargetCohort(target.name, rows, splits, embeddings, encoders=named_encoders(encoders, adapted))
    return (
        phenotypes.map_phenotypes(known, target.fields, settings),
        ugly_duckling_table(known),
        pairs.find_pairs(known, target.fields, settings),
        *saliency.explain_predictions(known, image_store, settings),
    )
