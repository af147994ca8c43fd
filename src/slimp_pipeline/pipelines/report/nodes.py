"""The report page."""

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.audits.row_counts import CountedCohort, count_cohorts
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams, FeatureParams, ReportParams
from slimp_pipeline.reporting.export.draw import draw_pictures
from slimp_pipeline.reporting.figures.rows import row_counts_figure
from slimp_pipeline.reporting.figures.training import health_figure, history_figure
from slimp_pipeline.reporting.pages.explained import Explained
from slimp_pipeline.reporting.pages.report import Measured, Pictures, Role, Trained, render_page
from slimp_pipeline.reporting.pictures.gallery import nearest_neighbours
from slimp_pipeline.reporting.pictures.pairs import pair_gallery
from slimp_pipeline.reporting.pictures.patients import patient_view
from slimp_pipeline.reporting.pictures.saliency import saliency_pictures
from slimp_pipeline.tables.combined import first_tables
from slimp_pipeline.tables.pseudonyms import name_patients

Parts = TypeVar("Parts", Trained, Measured, Explained, Pictures)


def draw_training(history: pd.DataFrame) -> tuple[go.Figure, go.Figure]:
    """Loss curves and embedding health."""
    return history_figure(history), health_figure(history)


def export_figures(settings: ReportParams, **drawn: go.Figure) -> dict[str, bytes]:
    """Every figure as PNG and SVG."""
    return draw_pictures(drawn, settings.picture_formats)


def count_rows(
    training_rows: pd.DataFrame,
    adaptation_rows: pd.DataFrame,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    evaluation: EvaluationParams,
    **parts: Any,
) -> tuple[pd.DataFrame, go.Figure]:
    """Where both cohorts' rows went, and the same as a figure."""
    source, target = (
        CountedCohort(
            role, parts[f"{role}_manifest"], first_tables(parts[f"{role}_facts"]), parts[f"{role}_quarantine"]
        )
        for role in ("source", "target")
    )
    counts = count_cohorts(source, target, training_rows, adaptation_rows, rows, splits, evaluation)
    return counts, row_counts_figure(counts)


def pick_gallery(
    manifest: dict[str, Any],
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    image_store: ImageStore,
    embeddings: dict[str, np.ndarray],
    settings: ReportParams,
) -> list[list[dict[str, Any]]]:
    """Nearest neighbours, where the licence lets pictures be shown."""
    size = settings.gallery_size if manifest["open_licence"] else 0
    return nearest_neighbours(rows, splits, image_store, embeddings, size, show_ids=settings.show_ids)


def picture_findings(
    manifest: dict[str, Any],
    rows: pd.DataFrame,
    image_store: ImageStore,
    ugly_ducklings: pd.DataFrame,
    found_pairs: pd.DataFrame,
    saliency: pd.DataFrame,
    saliency_maps: dict[str, np.ndarray],
    settings: ReportParams,
) -> tuple[pd.DataFrame, list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Patients' names; patients, pairs and saliency in pictures, where the licence lets these be shown."""
    names = name_patients(rows, settings.salt)
    if not manifest["open_licence"]:
        return names, [], [], []
    patients = patient_view(ugly_ducklings, rows, image_store, names, settings)
    pairs = pair_gallery(found_pairs, rows, image_store, settings)
    return names, patients, pairs, saliency_pictures(saliency, saliency_maps, show_ids=settings.show_ids)


def render(
    evaluation: EvaluationParams,
    features: FeatureParams,
    settings: ReportParams,
    **parts: Any,
) -> str:
    """One page from both roles' tables, the training's history, results and figures."""
    roles = [
        Role(
            role,
            parts[f"{role}_manifest"],
            parts[f"{role}_splits"],
            parts[f"{role}_duplicates"],
            parts[f"{role}_conflicts"],
            parts[f"{role}_lesion_conflicts"],
        )
        for role in ("source", "target")
    ]
    drawn = {name.removesuffix("_figure"): figure for name, figure in parts.items() if name.endswith("_figure")}
    return render_page(
        roles,
        _of(Trained, parts),
        _of(Measured, parts),
        _of(Explained, parts),
        drawn,
        _of(Pictures, parts),
        confidence=evaluation.confidence,
        max_page_mb=settings.max_page_mb,
        leaks=features.leaks,
    )


def _of(kind: type[Parts], parts: dict[str, Any]) -> Parts:
    return kind(**{field.name: parts[field.name] for field in fields(kind)})
