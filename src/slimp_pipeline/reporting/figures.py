"""Figures, as Plotly: interactive in Kedro-Viz, MLflow and the report alike."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from slimp_pipeline.evaluation.embed import block, methods
from slimp_pipeline.evaluation.metrics import roc_points
from slimp_pipeline.evaluation.protocol import Task
from slimp_pipeline.tables.splits import HOLDOUT, partition_names

METHOD_NAMES = {
    "slimp": "SLIMP",
    "initial_weights": "initial weights",
    "random_init": "random init",
    "metadata_linear": "metadata, linear",
}
# Okabe-Ito: told apart by colour-blind readers.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
METHOD_COLOURS = dict(zip(METHOD_NAMES, COLOURS, strict=False))
_GRID = np.linspace(0, 1, 101)


def results_figure(results: pd.DataFrame, metric: str = "balanced_accuracy") -> go.Figure:
    """Linear probe by method and feature set: mean over folds with its interval."""
    chosen = results[(results["metric"] == metric) & results["protocol"].isin(["linear_probe", "baseline"])]
    draws = "all" if (chosen["draw"] == "all").any() else HOLDOUT
    chosen = chosen[chosen["draw"] == draws]
    figure = go.Figure()
    for method, rows in chosen.groupby("method", sort=False):
        figure.add_scatter(
            x=rows["value"],
            y=rows["features"],
            mode="markers",
            name=METHOD_NAMES.get(str(method), str(method)),
            marker={"size": 10, "color": METHOD_COLOURS.get(str(method))},
            error_x={"array": rows["ci_high"] - rows["value"], "arrayminus": rows["value"] - rows["ci_low"]},
        )
    figure.update_yaxes(autorange="reversed")
    return _laid_out(
        figure, "Linear probe, mean over folds with 95 % interval", metric.replace("_", " "), "", height=360
    )


def history_figure(history: pd.DataFrame) -> go.Figure:
    """Training and validation loss by epoch, one line per partition."""
    figure = go.Figure()
    for name, dash in (("loss", "solid"), ("validation_loss", "dot")):
        rows = history[history["name"] == name]
        by_epoch = rows.groupby(["partition", "epoch"], sort=False)["value"].mean().reset_index()
        for position, (partition, line) in enumerate(by_epoch.groupby("partition", sort=False)):
            figure.add_scatter(
                x=line["epoch"],
                y=line["value"],
                mode="lines",
                name=f"{'training' if name == 'loss' else 'validation'} {partition}",
                line={"dash": dash, "color": COLOURS[position % len(COLOURS)]},
            )
    return _laid_out(figure, "Nested loss", "epoch", "nats")


def health_figure(history: pd.DataFrame) -> go.Figure:
    """Effective rank of the projections on held-out patients: a fall towards 1 is a collapse."""
    figure = go.Figure()
    for name, dash in (("image_effective_rank", "solid"), ("phenotype_effective_rank", "dot")):
        for position, (partition, line) in enumerate(history[history["name"] == name].groupby("partition", sort=False)):
            figure.add_scatter(
                x=line["epoch"],
                y=line["value"],
                mode="lines",
                name=f"{name.split('_')[0]} {partition}",
                line={"dash": dash, "color": COLOURS[position % len(COLOURS)]},
            )
    return _laid_out(figure, "Embedding health: effective rank", "epoch", "effective rank")


def roc_figure(predictions: pd.DataFrame, classes: list[str], malignant_K: np.ndarray) -> go.Figure:
    """ROC by method, image features: averaged over folds, since scores of different probes aren't comparable.

    Malignant against not, where the cohort tells; else the mean over one class against the others.
    """
    chosen = predictions[(predictions["protocol"] == "linear_probe") & (predictions["features"] == "image")]
    score_columns = [f"score.{name}" for name in classes]
    figure = go.Figure()
    grouped = malignant_K.any() and not malignant_K.all()
    for method, rows in chosen.groupby("method", sort=False):
        curves = []
        for _, fold in rows.groupby("draw"):
            scores, labels = fold[score_columns].to_numpy(), pd.Categorical(fold["label"], classes).codes
            tasks = (
                [(scores[:, malignant_K].sum(axis=1), malignant_K[labels])]
                if grouped
                else [(scores[:, k], labels == k) for k in range(len(classes))]
            )
            curves += [_curve(score, positive) for score, positive in tasks if 0 < positive.sum() < len(positive)]
        if curves:
            figure.add_scatter(
                x=_GRID,
                y=np.mean(curves, axis=0),
                mode="lines",
                name=METHOD_NAMES.get(str(method), str(method)),
                line={"color": METHOD_COLOURS.get(str(method))},
            )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": "#999"}, showlegend=False, hoverinfo="skip"
    )
    subject = "malignant or not" if grouped else "mean over classes"
    return _laid_out(figure, f"ROC, image features, linear probe: {subject}", "1 - specificity", "sensitivity")


def confusion_figure(predictions: pd.DataFrame, classes: list[str]) -> go.Figure:
    """Confusion matrix of SLIMP's image probe, rows summed over the folds and shown as shares."""
    chosen = predictions[
        (predictions["method"] == "slimp")
        & (predictions["protocol"] == "linear_probe")
        & (predictions["features"] == "image")
    ]
    counts = pd.crosstab(chosen["label"], chosen["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    figure = go.Figure(
        go.Heatmap(
            z=shares.to_numpy(),
            x=classes,
            y=classes,
            text=counts.to_numpy(),
            texttemplate="%{text}",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            colorbar={"title": "recall"},
        )
    )
    figure.update_yaxes(autorange="reversed")
    return _laid_out(figure, "Confusion of the SLIMP image probe (counts)", "predicted", "true")


def embedding_map(task: Task, labelled: np.ndarray, embeddings: Mapping[str, np.ndarray], seed: int) -> go.Figure:
    """t-SNE of SLIMP's image embeddings (first partition's encoder), coloured by class."""
    method = "slimp" if "slimp" in methods(embeddings) else methods(embeddings)[0]
    values = block(embeddings, method, partition_names(task.rows)[0], "image")
    assert values is not None  # every method embeds images
    values = values[labelled]
    reduced = PCA(min(50, *values.shape), random_state=seed).fit_transform(values)
    perplexity = max(2.0, min(30.0, (len(values) - 1) / 4))
    points = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(reduced)
    figure = go.Figure()
    for k, name in enumerate(task.classes):
        chosen = points[task.label_N == k]
        figure.add_scattergl(
            x=chosen[:, 0],
            y=chosen[:, 1],
            mode="markers",
            name=name,
            marker={"size": 6, "opacity": 0.75, "color": COLOURS[k % len(COLOURS)]},
        )
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return _laid_out(figure, "Map of the image embeddings (t-SNE)", "", "")


def _curve(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    fpr, tpr = roc_points(score, np.asarray(positive), np.ones((1, len(score))))
    return np.interp(_GRID, fpr[0], tpr[0])


def _laid_out(figure: go.Figure, title: str, x: str, y: str, height: int = 420) -> go.Figure:
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        xaxis_title=x,
        yaxis_title=y,
        height=height,
        template="plotly_white",
        margin={"l": 50, "r": 15, "t": 45, "b": 45},
        legend={"orientation": "h", "y": -0.22},
        font={"family": "system-ui, sans-serif"},
    )
    return figure
