"""Curves: calibration, few labels, worse metadata."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from slimp_pipeline.evaluation.measures.calibration import reliability
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.reporting.figures import laid_out
from slimp_pipeline.reporting.labels import (
    METRIC_NAMES,
    PROTOCOL_NAMES,
    features_name,
    in_order,
    method_colour,
    method_name,
)
from slimp_pipeline.tables.splits import HOLDOUT

_NUM_BINS = 10  # fewer than the calibration error has: bins of few rows scatter
_DASHES = ("solid", "dot", "dash", "dashdot")


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
    subtitle = f"{method_name(method)}, image features; size: number of images"
    return laid_out(figure, "Reliability", subtitle, "confidence", "accuracy")


def low_shot_figure(results: pd.DataFrame, metric: str = "balanced_accuracy") -> go.Figure:
    """Probes on few training rows: by rows per class, and by share of the patients."""
    chosen = results[(results["protocol"] == "low_shot") & (results["metric"] == metric)]
    chosen = chosen[chosen["draw"] == ("all" if (chosen["draw"] == "all").any() else HOLDOUT)]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    feature_sets = list(dict.fromkeys(chosen["features"]))
    of_patients = chosen["shots"].astype("str").str.endswith("%")
    by_rows, by_share = chosen[~of_patients], chosen[of_patients]
    for column, kind in ((1, by_rows), (2, by_share)):
        for method in in_order(kind["method"]):
            for features, rows in kind[kind["method"] == method].groupby("features", sort=False):
                rows = rows.sort_values("shots", key=lambda shots: shots.str.rstrip("%").astype(float))
                figure.add_scatter(
                    x=rows["shots"],
                    y=rows["value"],
                    mode="lines+markers",
                    name=f"{method_name(method)}, {features_name(features)}",
                    legendgroup=f"{method}{features}",
                    showlegend=column == 1 or not len(by_rows),
                    error_y=_error(rows),
                    line={"color": method_colour(method), "dash": _DASHES[feature_sets.index(features) % 4]},
                    row=1,
                    col=column,
                )
    figure.update_xaxes(type="category")
    laid_out(figure, "Few labels", "linear probe, mean over draws and folds", "", METRIC_NAMES[metric])
    figure.update_layout(height=440 + 15 * sum(trace.showlegend for trace in figure.data))
    figure.update_xaxes(title="images per class", row=1, col=1)
    figure.update_xaxes(title="share of patients", row=1, col=2)
    return figure


def robustness_figure(robustness: pd.DataFrame, metric: str = "balanced_accuracy") -> go.Figure:
    """Results as test metadata are dropped or corrupted, and without either level."""
    chosen = robustness[robustness["metric"] == metric]
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.04, column_widths=[0.38, 0.38, 0.24])
    for method in in_order(chosen["method"]):
        own = chosen[chosen["method"] == method]
        intact = own[own["kind"] == "intact"]
        for column, kind in ((1, "dropped"), (2, "corrupted")):
            rows = pd.concat([intact, own[own["kind"] == kind]]).sort_values("share")
            figure.add_scatter(
                x=100 * rows["share"],
                y=rows["value"],
                mode="lines+markers",
                name=method_name(method),
                legendgroup=method,
                showlegend=column == 1,
                error_y=_error(rows),
                line={"color": method_colour(method)},
                row=1,
                col=column,
            )
        levels = own[own["kind"].str.startswith("no ")]
        figure.add_scatter(
            x=levels["kind"].str.removeprefix("no ").str.removesuffix(" level"),
            y=levels["value"],
            mode="markers",
            legendgroup=method,
            showlegend=False,
            name=method_name(method),
            error_y=_error(levels),
            marker={"color": method_colour(method), "size": 8},
            row=1,
            col=3,
        )
    laid_out(figure, "Worse metadata", "linear probe trained on intact rows", "", METRIC_NAMES[metric])
    figure.update_xaxes(title="% of fields<br>dropped", row=1, col=1)
    figure.update_xaxes(title="% of fields<br>corrupted", row=1, col=2)
    figure.update_xaxes(title="level<br>left out", tickangle=0, tickfont={"size": 10}, row=1, col=3)
    return figure


def _error(rows: pd.DataFrame) -> dict[str, object]:
    return {
        "array": rows["ci_high"] - rows["value"],
        "arrayminus": rows["value"] - rows["ci_low"],
        "thickness": 1,
        "width": 3,
    }
