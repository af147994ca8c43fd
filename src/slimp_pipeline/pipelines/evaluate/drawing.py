"""Figures of an evaluation."""

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.measures.units import by_unit
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import make_task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting.figures.curves import precision_recall_figure, roc_figure
from slimp_pipeline.reporting.figures.embedding_map import embedding_map
from slimp_pipeline.reporting.figures.importance import importance_figure
from slimp_pipeline.reporting.figures.results import low_shot_figure, results_figure, robustness_figure
from slimp_pipeline.reporting.figures.scores import confusion_figure, reliability_figure
from slimp_pipeline.reporting.figures.traits import phenotype_figure


def draw_results(
    target: TargetCohort,
    results: pd.DataFrame,
    predictions: pd.DataFrame,
    robust: pd.DataFrame,
    importance: pd.DataFrame,
    phenotypes: pd.DataFrame,
    settings: EvaluationParams,
) -> tuple[go.Figure, ...]:
    """Figures: results, curves, confusion, reliability, few labels, worse metadata, maps, importance."""
    predictions = by_unit(predictions, settings)
    task = make_task(target.rows, target.splits, settings)
    return (
        results_figure(results),
        roc_figure(predictions, task.classes, task.malignant_K, settings),
        precision_recall_figure(predictions, task.classes, task.malignant_K, settings),
        confusion_figure(predictions, task.classes),
        reliability_figure(predictions, task.classes, settings),
        low_shot_figure(results),
        robustness_figure(robust),
        embedding_map(task, target.embeddings, settings.seed),
        importance_figure(importance),
        phenotype_figure(phenotypes, settings.subgroups.age_edges),
    )
