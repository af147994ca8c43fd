"""ROC, precision and recall of predictions, with bands."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.measures.bootstrap import mean_where_known
from slimp_pipeline.evaluation.measures.curves import GRID, Curve, band, precision_curves, roc_curves
from slimp_pipeline.evaluation.measures.measure import fold_weightings
from slimp_pipeline.evaluation.measures.records import is_pretrained
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting.figures.layout import BY_CHANCE, laid_out
from slimp_pipeline.reporting.labels import in_order, method_colour, method_name
from slimp_pipeline.reporting.text import figure_text
from slimp_pipeline.tables.splits import HOLDOUT

_BAND_RESAMPLES = 200  # a band is drawn, not reported: more can't be seen


def roc_figure(
    predictions: pd.DataFrame, classes: list[str], malignant_K: np.ndarray, settings: EvaluationParams
) -> go.Figure:
    """ROC by method, image features: averaged over folds, since scores of different probes aren't comparable.

    Malignant against not, where the cohort tells; else the mean over one class against the others. Pre-trained methods
    have a band, by bootstrap over patients within folds.
    """
    figure = go.Figure()
    subject = _add_curves(figure, predictions, classes, malignant_K, settings, roc_curves)
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=BY_CHANCE, showlegend=False, hoverinfo="skip")
    subtitle = _subtitle(settings)
    return laid_out(figure, f"ROC, {subject}", subtitle, "1 - specificity", "sensitivity")


def precision_recall_figure(
    predictions: pd.DataFrame, classes: list[str], malignant_K: np.ndarray, settings: EvaluationParams
) -> go.Figure:
    """Precision by recall, as `roc_figure`; the dotted line is the share of positives, which chance attains."""
    figure = go.Figure()
    subject = _add_curves(figure, predictions, classes, malignant_K, settings, precision_curves)
    if figure.data:
        tasks = [task for fold in _folds(predictions) for task in _tasks(fold, classes, malignant_K)]
        share = float(np.mean([positive_N.mean() for _, positive_N, _ in tasks]))
        figure.add_scatter(x=[0, 1], y=[share] * 2, mode="lines", line=BY_CHANCE, showlegend=False, hoverinfo="skip")
    figure.update_yaxes(range=[0, 1.02])
    subtitle = _subtitle(settings)
    return laid_out(figure, f"Precision and recall, {subject}", subtitle, "recall (sensitivity)", "precision")


def _add_curves(
    figure: go.Figure,
    predictions: pd.DataFrame,
    classes: list[str],
    malignant_K: np.ndarray,
    settings: EvaluationParams,
    curve: Curve,
) -> str:
    """Draw every method's mean curve, with a band for pre-trained ones; says what is told apart."""
    for method in in_order(predictions["method"].unique()):
        own = predictions[predictions["method"] == method]
        num_resamples = min(_BAND_RESAMPLES, settings.num_resamples) if is_pretrained(method) else 0
        resampling = settings.model_copy(update={"num_resamples": num_resamples})
        curves = [
            curve(score_N, positive_N, fold_weightings(fold, resampling, position)[rows_N])
            for position, fold in enumerate(_folds(own))
            for score_N, positive_N, rows_N in _tasks(fold, classes, malignant_K)
        ]
        if not curves:
            continue
        mean_G, low_G, high_G = band(mean_where_known(curves), settings.confidence)
        colour, group = method_colour(method), {"legendgroup": method, "name": figure_text(method_name(method))}
        if num_resamples:
            edge = {"x": np.append(GRID, GRID[::-1]), "y": np.append(high_G, low_G[::-1]), "mode": "lines"}
            line = {"color": colour, "width": 0}
            figure.add_scatter(
                **edge, **group, line=line, fill="toself", opacity=0.18, showlegend=False, hoverinfo="skip"
            )
        figure.add_scatter(x=GRID, y=mean_G, mode="lines", **group, line={"color": colour})
    return "malignant or not" if _is_grouped(malignant_K) else "mean over classes"


def _subtitle(settings: EvaluationParams) -> str:
    return (
        f"linear probe on image features; band: {100 * settings.confidence:g}\N{NO-BREAK SPACE}% interval at each place"
    )


def _folds(predictions: pd.DataFrame) -> list[pd.DataFrame]:
    """Predictions of image probes, fold by fold; of the hold-out where there are no folds."""
    chosen = predictions[(predictions["protocol"] == "linear_probe") & (predictions["features"] == "image")]
    folds = chosen[chosen["draw"] != HOLDOUT]
    chosen = folds if len(folds) else chosen
    return [fold.sort_values("image_id") for _, fold in chosen.groupby("draw", observed=True)]


def _tasks(
    fold: pd.DataFrame, classes: list[str], malignant_K: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What is told apart: scores, which of them are positive, and which of the fold's rows they are."""
    score_NK = fold[[f"score.{name}" for name in classes]].to_numpy()
    label_N = pd.Categorical(fold["label"], classes).codes
    if _is_grouped(malignant_K):
        decided_N = malignant_K[label_N] != -1
        tasks = [(score_NK[:, malignant_K == 1].sum(axis=1), malignant_K[label_N] == 1, decided_N)]
    else:
        tasks = [(score_NK[:, k], label_N == k, np.ones(len(fold), dtype=bool)) for k in range(len(classes))]
    for score_N, positive_N, rows_N in tasks:
        if 0 < positive_N[rows_N].sum() < rows_N.sum():
            yield score_N[rows_N], np.asarray(positive_N[rows_N]), rows_N


def _is_grouped(malignant_K: np.ndarray) -> bool:
    return bool((malignant_K == 1).any() and (malignant_K == 0).any())
