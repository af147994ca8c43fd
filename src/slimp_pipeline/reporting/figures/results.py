"""Results with intervals: of all methods, with few labels, with worse metadata."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from slimp_pipeline.evaluation.measures.records import summary_draw
from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.labels import (
    METRIC_NAMES,
    features_name,
    in_order,
    method_colour,
    method_name,
)
from slimp_pipeline.reporting.text import figure_text
from slimp_pipeline.tables.splits import HOLDOUT

_SYMBOLS = {"linear_probe": "circle", "baseline": "diamond"}
_LINE_CHARACTERS = 48
_DASHES = ("solid", "dot", "dash", "dashdot")


def results_figure(results: pd.DataFrame, metric: str = "balanced_accuracy") -> go.Figure:
    """Linear probe by method and feature set: mean over folds with its interval."""
    chosen = results[(results["metric"] == metric) & results["protocol"].isin(["linear_probe", "baseline"])]
    draw = summary_draw(chosen)
    chosen = chosen[chosen["draw"] == draw]
    figure = go.Figure()
    for method in in_order(chosen["method"].unique()):
        rows = chosen[chosen["method"] == method]
        figure.add_scatter(
            x=rows["value"],
            y=rows["features"].map(features_name).str.replace(" + ", "<br>+ "),
            mode="markers",
            name=figure_text(method_name(method)),
            orientation="h",
            offsetgroup=method,
            marker={"size": 9, "color": method_colour(method), "symbol": _SYMBOLS[rows["protocol"].iloc[0]]},
            error_x={"array": rows["ci_high"] - rows["value"], "arrayminus": rows["value"] - rows["ci_low"]},
        )
    figure.update_layout(scattermode="group", scattergap=0.4)
    figure.update_yaxes(autorange="reversed", ticks="", showgrid=False)
    measured = "mean over folds" if draw == "all" else "hold-out"
    laid_out(figure, "Linear probe", f"{measured}, with intervals", METRIC_NAMES.get(metric, metric), "")
    # Every interval a line of its own, every entry of the legend too where the page is narrow.
    return figure.update_layout(height=170 + 18 * len(chosen) + 18 * len(figure.data))


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
                    name=_in_legend(method, str(features)),
                    legendgroup=f"{method}{features}",
                    showlegend=column == 1 or not len(by_rows),
                    error_y=_error(rows),
                    line={"color": method_colour(method), "dash": _DASHES[feature_sets.index(features) % 4]},
                    row=1,
                    col=column,
                )
    figure.update_xaxes(type="category")
    laid_out(figure, "Few labels", "linear probe, mean over draws and folds", "", METRIC_NAMES[metric])
    num_lines = sum(1 + trace.name.count("<br>") for trace in figure.data if trace.showlegend)
    figure.update_layout(height=440 + 15 * num_lines)
    figure.update_xaxes(title="images per class", row=1, col=1)
    figure.update_xaxes(title="share of patients", row=1, col=2)
    return figure


def robustness_figure(robustness: pd.DataFrame, metric: str = "balanced_accuracy") -> go.Figure:
    """Results as test metadata are dropped or corrupted, and without each of the levels."""
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
                name=figure_text(method_name(method)),
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
            name=figure_text(method_name(method)),
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


def _in_legend(method: str, features: str) -> str:
    """Both names: in two lines where one would be too long for a phone."""
    names = figure_text(method_name(method)), features_name(features)
    return (", " if sum(map(len, names)) < _LINE_CHARACTERS else ",<br>").join(names)


def _error(rows: pd.DataFrame) -> dict[str, object]:
    return {
        "array": rows["ci_high"] - rows["value"],
        "arrayminus": rows["value"] - rows["ci_low"],
        "thickness": 1,
        "width": 3,
    }
