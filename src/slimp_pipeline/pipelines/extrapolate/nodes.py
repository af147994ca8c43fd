"""Metadata extrapolation from the source role, the reference, to the target role."""

from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.combined import in_terms_of
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits.leaks import check_pretraining
from slimp_pipeline.evaluation.features.embed import named_encoders
from slimp_pipeline.evaluation.measures.records import RESULT_COLUMNS
from slimp_pipeline.evaluation.target import TargetCohort, result_name
from slimp_pipeline.evaluation.task import has_two_classes
from slimp_pipeline.extrapolation import run
from slimp_pipeline.extrapolation.judge import judge_borrowed
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, ExtrapolationParams, FeatureParams, ModelParams, TrainingParams
from slimp_pipeline.reporting.pages.extrapolation import render_extrapolation
from slimp_pipeline.reporting.pictures.cases import picture_cases
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.missing import choose_fields


def check_lenders(
    source: CohortSpec,
    target: CohortSpec,
    target_lesions: pd.DataFrame,
    splits: pd.DataFrame,
    training_rows: pd.DataFrame,
    encoders: dict[str, Checkpoint],
    model: ModelParams,
    training: TrainingParams,
    features: FeatureParams,
) -> dict[str, Checkpoint]:
    """The encoders, which are those asked for and were trained on no test patient."""
    chosen = choose_fields(target, target_lesions, features)
    check_pretraining(source, target, training_rows, splits, encoders, model, training, features, chosen)
    return encoders


def know_sides(
    source: CohortSpec,
    target: CohortSpec,
    reference_rows: pd.DataFrame,
    target_rows: pd.DataFrame,
    reference_store: ImageStore,
    target_store: ImageStore,
) -> run.Lending:
    """Who lends to whom; the target to itself where it is the source."""
    borrower = reference = run.Side(target_rows, target_store, target_rows)
    if source.name != target.name:
        reference = run.Side(reference_rows, reference_store, in_terms_of(target, source, reference_rows))
    return run.Lending(reference, borrower, source.knows_patients_of(target))


def borrow(
    lending: run.Lending,
    source: CohortSpec,
    reference_lesions: pd.DataFrame,
    training_rows: pd.DataFrame,
    encoders: dict[str, Checkpoint],
    features: FeatureParams,
    settings: ExtrapolationParams,
    evaluation: EvaluationParams,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Borrowed metadata, and the image embeddings that neighbours were found by."""
    return run.extrapolate(
        lending,
        choose_fields(source, reference_lesions, features),
        {str(name): rows["image_id"] for name, rows in training_rows.groupby("partition")},
        encoders,
        settings,
        evaluation,
        near_duplicate_bits=features.near_duplicate_bits,
    )


def judge(
    source: CohortSpec,
    target: CohortSpec,
    reference_rows: pd.DataFrame,
    target_rows: pd.DataFrame,
    splits: pd.DataFrame,
    borrowed: pd.DataFrame,
    settings: ExtrapolationParams,
    evaluation: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Agreement with the truth; fields that can't be compared; best and worst cases."""
    return judge_borrowed(source, target, reference_rows, target_rows, splits, borrowed, settings, evaluation)


def prove(
    target: CohortSpec,
    target_rows: pd.DataFrame,
    splits: pd.DataFrame,
    borrowed: pd.DataFrame,
    image_embeddings: dict[str, np.ndarray],
    encoders: dict[str, Checkpoint],
    encodings: dict[str, Any],
    features: FeatureParams,
    settings: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What borrowed metadata are worth to a probe; nothing where the target has no labels to tell it by."""
    if not has_two_classes(target_rows, settings):
        return pd.DataFrame(columns=RESULT_COLUMNS), pd.DataFrame(columns=run.WORTH_COLUMNS)
    named = named_encoders(encoders)
    proven = TargetCohort(
        result_name(target.name, named, features, settings),
        target_rows,
        splits,
        encodings=validated(encodings),
        encoders=named,
    )
    return run.worth(proven, borrowed, image_embeddings, settings)


def render(
    source: CohortSpec,
    target: CohortSpec,
    reference_rows: pd.DataFrame,
    target_rows: pd.DataFrame,
    reference_store: ImageStore,
    target_store: ImageStore,
    settings: EvaluationParams,
    **tables: pd.DataFrame,
) -> str:
    """One page."""
    pictures = None
    if source.open_licence and target.open_licence:
        pictures = picture_cases(tables["cases"], reference_rows, target_rows, reference_store, target_store)
    return render_extrapolation(source.title, target.title, target_rows, settings.confidence, pictures, **tables)
