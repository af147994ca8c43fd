"""Figures, as Plotly: interactive in Kedro-Viz, MLflow and the report alike."""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from slimp_pipeline.evaluation.features.embed import block, methods
from slimp_pipeline.evaluation.measures.metrics import roc_points
from slimp_pipeline.evaluation.measures.records import pretrained_method, summary_draw
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.reporting.labels import COLOURS, METRIC_NAMES, features_name, in_order, method_colour, method_name
from slimp_pipeline.tables.splits import HOLDOUT, partition_names

_SYMBOLS = {"linear_probe": "circle", "baseline": "diamond"}
_DASHES = {"solid": "solid", "dot": "dotted"}
_GRID = np.linspace(0, 1, 101)
_MAP_POINTS = 2000  # more can't be told apart, and make the page heavy


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
            name=method_name(method),
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


def history_figure(history: pd.DataFrame) -> go.Figure:
    """Training and validation loss by epoch, one line per partition."""
    lines = {"loss": "training", "validation_loss": "validation"}
    return laid_out(_epochs_figure(history, lines), "Pre-training loss", _dashes(lines), "epoch", "nats")


def health_figure(history: pd.DataFrame) -> go.Figure:
    """Effective rank of the projections on held-out patients: a fall towards 1 is a collapse."""
    sides = {"lesion": "image", "patient": "phenotype", "flat": "image", "views": "image"}
    measured = set(history["name"])
    lines = {f"{name}_effective_rank": side for name, side in sides.items() if f"{name}_effective_rank" in measured}
    figure = _epochs_figure(history, lines)
    return laid_out(figure, "Effective rank, held-out patients", _dashes(lines), "epoch", "effective rank")


def _epochs_figure(history: pd.DataFrame, lines: dict[str, str]) -> go.Figure:
    figure = go.Figure()
    partitions = list(dict.fromkeys(history["partition"]))
    for (name, title), dash in zip(lines.items(), _DASHES, strict=False):
        rows = history[history["name"] == name]
        by_epoch = rows.groupby(["partition", "epoch"], sort=False)["value"].mean().reset_index()
        for partition, line in by_epoch.groupby("partition", sort=False):
            figure.add_scatter(
                x=line["epoch"],
                y=line["value"],
                mode="lines",
                name=title if len(partitions) == 1 else str(partition).replace("_", " "),
                legendgroup=str(partition),
                showlegend=len(partitions) == 1 or dash == "solid",
                line={"dash": dash, "color": COLOURS[partitions.index(partition) % len(COLOURS)]},
            )
    return figure


def _dashes(lines: dict[str, str]) -> str:
    return ", ".join(f"{dash}: {title}" for dash, title in zip(_DASHES.values(), lines.values(), strict=False))


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
            figure.add_scatter(x=_GRID, y=mean, mode="lines", name=method_name(method), line=line)
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
    names = [html.escape(name) for name in classes]
    figure = go.Figure(
        go.Heatmap(
            z=shares.to_numpy(),
            x=names,
            y=names,
            text=counts.to_numpy(),
            texttemplate="%{text}",
            hovertemplate="true %{y}, predicted %{x}: %{text} (%{z:.0%})<extra></extra>",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            showscale=False,
        )
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed")
    subtitle = "counts; colour: share of the true class"
    return laid_out(figure, f"Confusion, {method_name(method)}, image probe", subtitle, "predicted", "true")


def embedding_map(task: Task, labelled: np.ndarray, embeddings: Mapping[str, np.ndarray], seed: int) -> go.Figure:
    """t-SNE of pre-trained image embeddings (first partition's encoder), coloured by class; a sample where many."""
    method = pretrained_method(methods(embeddings))
    values = block(embeddings, method, partition_names(task.rows)[0], "image")
    assert values is not None  # every method embeds images
    values, label_N = values[labelled], task.label_N
    sample = np.sort(np.random.default_rng(seed).permutation(len(values))[:_MAP_POINTS])
    values, label_N = values[sample], label_N[sample]
    reduced = PCA(min(50, *values.shape), random_state=seed).fit_transform(values)
    perplexity = max(2.0, min(30.0, (len(values) - 1) / 4))
    points = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(reduced)
    figure = go.Figure()
    symbols = ("circle", "diamond", "square", "cross")
    for k, name in enumerate(task.classes):
        chosen = points[label_N == k]
        figure.add_scatter(
            x=chosen[:, 0],
            y=chosen[:, 1],
            mode="markers",
            name=html.escape(name),
            showlegend=True,
            marker={
                "size": 6,
                "opacity": 0.75,
                "color": COLOURS[k % len(COLOURS)],
                "symbol": symbols[k // len(COLOURS) % len(symbols)],
            },
        )
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False)
    return laid_out(figure, "Map of the image embeddings", f"t-SNE, {len(points)} images", "", "")


def laid_out(figure: go.Figure, title: str, subtitle: str, x: str, y: str) -> go.Figure:
    """Give a figure the look of all: title and subtitle, axis titles, legend below, font."""
    figure.update_layout(
        title={"text": title, "font": {"size": 16}, "subtitle": {"text": subtitle, "font": {"size": 12}}, "x": 0.02},
        xaxis_title=x or None,
        yaxis_title=y or None,
        height=440,
        template="plotly_white",
        margin={"l": 10, "r": 15, "t": 70, "b": 10},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        font={"family": "system-ui, sans-serif", "color": "#1b2733"},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
