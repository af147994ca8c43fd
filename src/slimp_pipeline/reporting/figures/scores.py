"""What predictions' scores look like: confusion, reliability."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.measures.bootstrap import Weightings, resampled
from slimp_pipeline.evaluation.measures.curves import reliability_with_intervals
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting.figures.layout import BY_CHANCE, laid_out
from slimp_pipeline.reporting.labels import PROTOCOL_NAMES, method_colour, method_name
from slimp_pipeline.reporting.text import figure_text, in_lines
from slimp_pipeline.tables.splits import HOLDOUT

_TICK_CHARACTERS, _CUT_CHARACTERS = 18, 16  # of a class's name to the left, and upright below
_LINE_PX, _CHARACTER_PX, _FRAME_PX = 15, 6, 190
_NUM_BINS = 10  # fewer than the calibration error has: bins of few rows scatter


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
    broken = [in_lines(name, _TICK_CHARACTERS) for name in classes]
    cut = [figure_text(name, _CUT_CHARACTERS) for name in classes]
    ticks = {"tickvals": places, "showgrid": False, "zeroline": False}  # cut names may coincide
    figure.update_xaxes(**ticks, ticktext=cut)
    figure.update_yaxes(**ticks, ticktext=broken, autorange="reversed")
    subtitle = "counts; colour: share of the true class"
    laid_out(figure, f"Confusion, {figure_text(method_name(method))}, image probe", subtitle, "predicted", "true")
    num_lines = sum(max(2, 1 + name.count("<br>")) for name in broken)
    return figure.update_layout(height=max(440, _FRAME_PX + _LINE_PX * num_lines + _CHARACTER_PX * max(map(len, cut))))


def reliability_figure(predictions: pd.DataFrame, classes: list[str], settings: EvaluationParams) -> go.Figure:
    """Accuracy by confidence of the pre-trained image probe, before and after temperature scaling, with intervals."""
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
        label_N = pd.Index(classes).get_indexer(chosen["label"])
        weightings = _within_folds(chosen, settings)
        bins = reliability_with_intervals(scores, label_N, _NUM_BINS, weightings, settings.confidence)
        figure.add_scatter(
            x=bins["confidence"],
            y=bins["accuracy"],
            mode="lines+markers",
            name=PROTOCOL_NAMES[protocol],
            marker={"size": 5 + 15 * np.sqrt(bins["num_rows"] / bins["num_rows"].sum())},
            error_y={
                "array": bins["ci_high"] - bins["accuracy"],
                "arrayminus": bins["accuracy"] - bins["ci_low"],
                "thickness": 1,
                "width": 3,
            },
            customdata=bins["num_rows"],
            hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}, %{customdata} images<extra></extra>",
            line={"color": method_colour(method), "dash": "solid" if protocol == "linear_probe_calibrated" else "dot"},
        )
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=BY_CHANCE, showlegend=False, hoverinfo="skip")
    name, level = figure_text(method_name(method)), f"{100 * settings.confidence:g}\N{NO-BREAK SPACE}%"
    subtitle = f"{name}, image features; size: number of images; bars: {level} intervals"
    return laid_out(figure, "Reliability", subtitle, "confidence", "accuracy")


def _within_folds(chosen: pd.DataFrame, settings: EvaluationParams) -> Weightings:
    """Weightings of rows of all folds, in which patients are drawn within their fold."""
    patient_N = pd.factorize(chosen["draw"].astype(str) + "|" + chosen["patient_id"].astype(str))[0]
    count_PR = np.empty((patient_N.max() + 1, 1 + settings.num_resamples), dtype=np.float32)
    fold_N = chosen["draw"].astype(str).to_numpy()
    for position, draw in enumerate(np.unique(fold_N)):
        rows = fold_N == draw
        drawn = resampled(patient_N[rows], settings.num_resamples, (settings.seed, position))
        count_PR[np.unique(patient_N[rows])] = drawn.count_PR
    return Weightings(count_PR, patient_N)
