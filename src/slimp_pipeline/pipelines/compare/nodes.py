"""Comparison of runs."""

from collections.abc import Callable

import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.compare import compare_runs
from slimp_pipeline.parameters import ComparisonParams, EvaluationParams
from slimp_pipeline.reporting.comparison import render_comparison


def compare(
    target: CohortSpec,
    versions: dict[str, Callable[[], pd.DataFrame]],
    comparison: ComparisonParams,
    settings: EvaluationParams,
    find_version: Callable[[str], str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Values of every method over its runs, and paired differences."""
    groups = {label: [find_version(run) for run in runs] for label, runs in comparison.groups.items()}
    return compare_runs(target.name, versions, groups, settings)


def render(target: CohortSpec, values: pd.DataFrame, pairs: pd.DataFrame, settings: EvaluationParams) -> str:
    """One page."""
    return render_comparison(target.title, values, pairs, settings.confidence)
