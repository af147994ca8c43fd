"""Evaluation on the target role."""

from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits.leaks import check_no_leak, check_pretraining
from slimp_pipeline.evaluation.features.embed import chosen_rows, embed_methods, named_encoders
from slimp_pipeline.evaluation.features.transfer import fields_read, log_fields_read
from slimp_pipeline.evaluation.measures.measure import measure_all
from slimp_pipeline.evaluation.measures.records import join_tables
from slimp_pipeline.evaluation.protocols import fine_tuning
from slimp_pipeline.evaluation.target import TargetCohort, result_name
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, FeatureParams, ModelParams, TrainingParams
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.nuisance import nuisance_rows

Encoders = dict[str, Checkpoint]
Arrays = dict[str, np.ndarray]


def select_rows(
    source: CohortSpec,
    target: CohortSpec,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    splits: pd.DataFrame,
    training_rows: pd.DataFrame,
    adaptation_rows: pd.DataFrame,
    encoders: Encoders,
    model: ModelParams,
    training: TrainingParams,
    features: FeatureParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to evaluate on, with the chosen fields, and what the source's encoders read of them.

    Checks before that neither training saw a test patient.
    """
    rows, chosen = chosen_rows(target, lesions, patients, splits, features), choose_fields(target, lesions, features)
    read = fields_read(next(iter(encoders.values())).encoding, rows)
    if source.name != target.name:
        log_fields_read(read)
    check_pretraining(source, target, training_rows, splits, encoders, model, training, features, chosen)
    if len(adaptation_rows) and not features.leaks:
        check_no_leak(adaptation_rows, splits, same_cohort=True)
    return rows, read


def embed(
    rows: pd.DataFrame, image_store: ImageStore, encoders: Encoders, adapted: Encoders, settings: EvaluationParams
) -> Arrays:
    """Frozen embeddings by method and partition."""
    return embed_methods(rows, image_store, named_encoders(encoders, adapted), settings)


def know_target(
    target: CohortSpec,
    lesions: pd.DataFrame,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: Arrays,
    encodings: dict[str, Any],
    encoders: Encoders,
    adapted: Encoders,
    features: FeatureParams,
    settings: EvaluationParams,
) -> TargetCohort:
    """The target with all that its rows are known by, as protocols and audits take it."""
    named = named_encoders(encoders, adapted)
    return TargetCohort(
        result_name(target.name, named, features, settings),
        rows,
        splits,
        embeddings,
        validated(encodings),
        named,
        choose_fields(target, lesions, features),
        target.nuisance,
        nuisance_rows(lesions, rows, target.nuisance),
    )


def fine_tune(
    target: TargetCohort,
    image_store: ImageStore,
    frozen: pd.DataFrame,
    training: TrainingParams,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """The same predictions, and those of fine-tuned encoders where they are asked for."""
    tuned = fine_tuning.predict_fine_tuned(target, image_store, frozen, training.augmentation, settings)
    return join_tables([frozen, tuned])


def measure(
    target: TargetCohort,
    predictions: pd.DataFrame,
    low_shot: pd.DataFrame,
    retrieved: pd.DataFrame,
    settings: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and paired differences."""
    return measure_all(target.name, predictions, low_shot, retrieved, settings)
