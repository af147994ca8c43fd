"""Settings chosen on the source role's training rows."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.cohorts.combined import tested_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams, FeatureParams, ModelParams, SearchParams, TrainingParams
from slimp_pipeline.reporting.figures.search import budget_figure, learning_figure
from slimp_pipeline.search import run
from slimp_pipeline.search.rows import select_search_rows
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.training.pretrain import Cohort


def select_rows(
    source: CohortSpec,
    target: CohortSpec,
    lesions: pd.DataFrame,
    splits: pd.DataFrame,
    features: FeatureParams,
    search: SearchParams,
) -> pd.DataFrame:
    """Inner training and validation rows; no test row is among them."""
    tested_N = tested_rows(source, target, splits["image_id"])
    return select_search_rows(source, lesions, splits, features, search, tested_N=tested_N)


def search_settings(
    source: CohortSpec,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    manifest: dict[str, Any],
    image_store: ImageStore,
    search_rows: pd.DataFrame,
    features: FeatureParams,
    model: ModelParams,
    training: TrainingParams,
    search: SearchParams,
    evaluation: EvaluationParams,
    running_root: str,
    lineage: dict[str, str],
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Take trials; return them, their curves, and what was chosen."""
    whole = Cohort(source.name, manifest["fingerprint"], lesions, patients, {}, source.licence)
    cohort = run.inner_cohort(whole, search_rows, choose_fields(source, lesions, features), source.nuisance)
    trials, curves, chosen = run.search_settings(
        cohort, image_store, search_rows, model, training, search, evaluation, running_root, report
    )
    return trials, curves, chosen | {"fingerprint": cohort.fingerprint, "settings": lineage["settings"]}


def draw(
    trials: pd.DataFrame, curves: pd.DataFrame, chosen: dict[str, Any], search: SearchParams
) -> tuple[go.Figure, go.Figure]:
    """Quality by pictures seen, a line a trial; and the best so far by hours."""
    return learning_figure(curves, chosen["trial"], search.metric), budget_figure(trials, search.metric)
