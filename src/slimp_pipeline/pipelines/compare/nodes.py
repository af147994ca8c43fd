"""Comparison of runs."""

from collections.abc import Callable

import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.measures.compare import compare_readings, compare_runs, compare_truths
from slimp_pipeline.parameters import ComparisonParams, EvaluationParams, FeatureParams
from slimp_pipeline.reporting.pages.comparison import render_comparison


def compare(
    target: CohortSpec,
    predictions: dict[str, Callable[[], pd.DataFrame]],
    truths: dict[str, Callable[[], pd.DataFrame]],
    readings: dict[str, Callable[[], pd.DataFrame]],
    comparison: ComparisonParams,
    settings: EvaluationParams,
    features: FeatureParams,
    find_version: Callable[[str], str],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Values of every method over its runs, paired differences, what was found of known causes, fields in images."""
    groups = {label: [find_version(run) for run in runs] for label, runs in comparison.groups.items()}
    name = settings.result_name(features.result_name(target.name))
    values, pairs = compare_runs(name, predictions, groups, settings, leaks=features.leaks)
    return values, pairs, compare_truths(truths, groups), compare_readings(readings, groups)


def render(
    target: CohortSpec,
    values: pd.DataFrame,
    pairs: pd.DataFrame,
    truths: pd.DataFrame,
    readings: pd.DataFrame,
    settings: EvaluationParams,
    features: FeatureParams,
) -> str:
    """One page."""
    title = settings.result_name(features.result_name(target.title))
    return render_comparison(title, values, pairs, truths, readings, settings.confidence, leaks=features.leaks)
