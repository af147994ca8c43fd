"""Evaluation on the target role."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation import protocol
from slimp_pipeline.evaluation.embed import embed_methods, evaluation_rows, named_encoders
from slimp_pipeline.evaluation.leaks import check_encoders, check_no_leak
from slimp_pipeline.evaluation.measure import measure as measure_predictions
from slimp_pipeline.evaluation.records import difference_table
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, ModelParams, TrainingParams
from slimp_pipeline.reporting import figures
from slimp_pipeline.tables.encoding import Encoding


def select_rows(
    source: CohortSpec,
    target: CohortSpec,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    splits: pd.DataFrame,
    training_rows: pd.DataFrame,
    adaptation_rows: pd.DataFrame,
    encoders: dict[str, Checkpoint],
    model: ModelParams,
    training: TrainingParams,
) -> pd.DataFrame:
    """Rows to evaluate on, after checking that neither pre-training nor adaptation saw a test patient."""
    check_encoders(training_rows, encoders, model, training)
    same_registry = source.patient_registry is not None and source.patient_registry == target.patient_registry
    check_no_leak(training_rows, splits, same_cohort=source.name == target.name, same_registry=same_registry)
    if len(adaptation_rows):
        check_no_leak(adaptation_rows, splits, same_cohort=True)
    return evaluation_rows(lesions, patients, splits)


def embed(
    rows: pd.DataFrame,
    image_store: ImageStore,
    encoders: dict[str, Checkpoint],
    adapted_encoders: dict[str, Checkpoint],
    settings: EvaluationParams,
) -> dict[str, np.ndarray]:
    """Frozen embeddings by method and partition."""
    return embed_methods(rows, image_store, named_encoders(encoders, adapted_encoders), settings)


def predict(
    target: CohortSpec,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: dict[str, np.ndarray],
    encodings: dict[str, Any],
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Scores of every test row by every method, feature set and protocol."""
    fitted = {name: Encoding.model_validate(encoding) for name, encoding in encodings.items()}
    return protocol.predict(rows, splits, embeddings, fitted, target.name, settings)


def measure(
    target: CohortSpec, predictions: pd.DataFrame, settings: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and paired differences."""
    results, averaged = measure_predictions(target.name, predictions, settings)
    return results, difference_table(target.name, averaged, settings.confidence)


def draw_results(
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: dict[str, np.ndarray],
    results: pd.DataFrame,
    predictions: pd.DataFrame,
    settings: EvaluationParams,
) -> tuple[go.Figure, go.Figure, go.Figure, go.Figure]:
    """Figures: results with intervals, ROC, confusion, embedding map."""
    task, labelled = protocol.make_task(rows, splits, settings)
    return (
        figures.results_figure(results),
        figures.roc_figure(predictions, task.classes, task.malignant_K),
        figures.confusion_figure(predictions, task.classes),
        figures.embedding_map(task, labelled, embeddings, settings.seed),
    )
