"""Figures of an evaluation."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.task import make_task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting import curves, figures


def draw_results(
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    embeddings: dict[str, np.ndarray],
    results: pd.DataFrame,
    predictions: pd.DataFrame,
    robust: pd.DataFrame,
    settings: EvaluationParams,
) -> tuple[go.Figure, ...]:
    """Figures: results with intervals, ROC, confusion, reliability, few labels, worse metadata, embedding map."""
    task, labelled = make_task(rows, splits, settings)
    return (
        figures.results_figure(results),
        figures.roc_figure(predictions, task.classes, task.malignant_K),
        figures.confusion_figure(predictions, task.classes),
        curves.reliability_figure(predictions, task.classes),
        curves.low_shot_figure(results),
        curves.robustness_figure(robust),
        figures.embedding_map(task, labelled, embeddings, settings.seed),
    )
