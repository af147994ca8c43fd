"""What predictions' scores look like: ROC, confusion, reliability."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.measures.calibration import reliability
from slimp_pipeline.evaluation.measures.metrics import roc_points
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.labels import (
    PROTOCOL_NAMES,
    in_order,
    method_colour,
    method_name,
)
from slimp_pipeline.reporting.text import figure_text
from slimp_pipeline.tables.splits import HOLDOUT

_GRID = np.linspace(0, 1, 101)
_NUM_BINS = 10  # fewer than the calibration error has: bins of few rows scatter


def roc_figure(predictions: pd.DataFrame, classes: list[str], malignant_K: np.ndarray) -> go.Figure:
    """ROC by method, image features: averaged over folds, since scores of different probes aren't comparable.

    Malignant against not, where the cohort tells; else the mean over one class against the others.
    """
    chosen = predictions[(predictions["protocol"] == "linear_probe") & (predictions["features"] == "image")]
    folds = chosen[chosen["draw"] != HOLDOUT]
    chosen = folds if len(folds) else chosen
    grouped = bool((malignant_K == 1).any() and (malignant_K == 0).any())
    figure = go.Figure()
    for method in in_order(chosen["method"].unique()):
        rows = chosen[chosen["method"] == method]
        curves = [
            curve
            for _, fold in rows.groupby("draw", observed=True)
            for curve in _curves(fold, classes, malignant_K, grouped=grouped)
        ]
        if curves:
            line = {"color": method_colour(method)}
            mean = np.mean(curves, axis=0)
            figure.add_scatter(x=_GRID, y=mean, mode="lines", name=figure_text(method_name(method)), line=line)
    line = {"dash": "dot", "color": "#999999"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, showlegend=False, hoverinfo="skip")
    subject = "malignant or not" if grouped else "mean over classes"
    return laid_out(figure, f"ROC, {subject}", "linear probe on image features", "1 - specificity", "sensitivity")


def _curves(fold: pd.DataFrame, classes: list[str], malignant_K: np.ndarray, *, grouped: bool) -> list[np.ndarray]:
    score_NK = fold[[f"score.{name}" for name in classes]].to_numpy()
    label_N = pd.Categorical(fold["label"], classes).codes
    if grouped:
        decided_N = malignant_K[label_N] != -1
        tasks = [(score_NK[decided_N][:, malignant_K == 1].sum(axis=1), malignant_K[label_N][decided_N] == 1)]
    else:
        tasks = [(score_NK[:, k], label_N == k) for k in range(len(classes))]
    return [_curve(score, positive) for score, positive in tasks if 0 < positive.sum() < len(positive)]


def _curve(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    fpr, tpr = roc_points(score, np.asarray(positive))
    return np.interp(_GRID, fpr, tpr)


def confusion_figure(predictions: pd.DataFrame, classes: list[str]) -> go.Figure:
    """Confusion matrix of the pre-trained image probe, rows summed over the folds and shown as shares."""
    method = pretrained_method(predictions["method"].unique())
    chosen = predictions[
        (predictions["method"] == method)
        & (predictions["protocol"] == "linear_probe")
        & (predictions["features"] == "image")
    ]
    folds = chosen[chosen["draw"] != HOLDOUT]
    chosen = folds if len(folds) else chosen
    counts = pd.crosstab(chosen["label"], chosen["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    names, places = [figure_text(name) for name in classes], list(range(len(classes)))
    figure = go.Figure(
        go.Heatmap(
            z=shares.to_numpy(),
            x=places,
            y=places,
            text=counts.to_numpy(),
            texttemplate="%{text}",
            customdata=[[(true, predicted) for predicted in names] for true in names],
            hovertemplate="true %{customdata[0]}, predicted %{customdata[1]}: %{text} (%{z:.0%})<extra></extra>",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            showscale=False,
        )
    )
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}  # cut names may coincide
    figure.update_xaxes(**ticks)
    figure.update_yaxes(**ticks, autorange="reversed")
    subtitle = "counts; colour: share of the true class"
    return laid_out(
        figure, f"Confusion, {figure_text(method_name(method))}, image probe", subtitle, "predicted", "true"
    )


def reliability_figure(predictions: pd.DataFrame, classes: list[str]) -> go.Figure:
    """Accuracy by confidence of the pre-trained image probe, before and after temperature scaling."""
    method = pretrained_method(predictions["method"].unique())
    figure = go.Figure()
    for protocol in ("linear_probe", "linear_probe_calibrated"):
        chosen = predictions[
            (predictions["method"] == method)
            & (predictions["protocol"] == protocol)
            & (predictions["features"] == "image")
        ]
        if chosen.empty:
            continue
        folds = chosen[chosen["draw"] != HOLDOUT]
        chosen = folds if len(folds) else chosen
        scores = chosen[[f"score.{name}" for name in classes]].to_numpy()
        bins = reliability(scores, pd.Index(classes).get_indexer(chosen["label"]), _NUM_BINS)
        figure.add_scatter(
            x=bins["confidence"],
            y=bins["accuracy"],
            mode="lines+markers",
            name=PROTOCOL_NAMES[protocol],
            marker={"size": 5 + 15 * np.sqrt(bins["num_rows"] / bins["num_rows"].sum())},
            customdata=bins["num_rows"],
            hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}, %{customdata} images<extra></extra>",
            line={"color": method_colour(method), "dash": "solid" if protocol == "linear_probe_calibrated" else "dot"},
        )
    line = {"dash": "dot", "color": "#999999"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, showlegend=False, hoverinfo="skip")
    subtitle = f"{figure_text(method_name(method))}, image features; size: number of images"
    return laid_out(figure, "Reliability", subtitle, "confidence", "accuracy")
