"""ROC, precision and recall, with bands."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting.figures.curves import precision_recall_figure, roc_figure

SETTINGS = EvaluationParams(num_resamples=50)
MALIGNANT = np.array([True, False])


def of_slimp(figure):
    """The band, and the curve."""
    return [trace for trace in figure.data if trace.name == "SLIMP"]


def test_the_mean_roc_curve_encloses_the_mean_auroc(predictions):
    classes = list(pd.unique(predictions["label"]))
    figure = roc_figure(predictions, classes, MALIGNANT, SETTINGS)
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["SLIMP", "random init"]
    folds = predictions[predictions["method"] == "slimp"].groupby("draw")
    expected = np.mean([roc_auc_score(f["label"] == classes[0], f[f"score.{classes[0]}"]) for _, f in folds])
    curve = of_slimp(figure)[1]
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("draw_figure", [roc_figure, precision_recall_figure])
def test_only_pre_trained_methods_have_a_band_and_it_holds_their_curve(predictions, draw_figure):
    classes = list(pd.unique(predictions["label"]))
    figure = draw_figure(predictions, classes, MALIGNANT, SETTINGS)
    band, curve = of_slimp(figure)
    high, low = np.split(np.asarray(band.y), 2)
    assert (low[::-1] <= curve.y).all() and (curve.y <= high).all() and (high > low[::-1]).any()
    assert sum(trace.fill == "toself" for trace in figure.data) == 1
    assert "95\N{NO-BREAK SPACE}% interval" in figure.layout.title.subtitle.text


def test_precision_starts_from_the_share_of_positives_that_chance_attains(predictions):
    classes = list(pd.unique(predictions["label"]))
    figure = precision_recall_figure(predictions, classes, MALIGNANT, SETTINGS)
    assert list(figure.data[-1].y) == [0.5, 0.5]  # half of the rows
    assert 0.5 <= of_slimp(figure)[1].y[-1] < 0.7  # all are found, and nearly as many others


def test_a_hold_out_alone_and_classes_without_malignancy_have_curves(predictions):
    classes = list(pd.unique(predictions["label"]))
    holdout = predictions[predictions["draw"] == "1"].assign(draw="holdout")
    for draw_figure in (roc_figure, precision_recall_figure):
        figure = draw_figure(holdout, classes, np.array([-1, -1]), SETTINGS)
        assert len(of_slimp(figure)) == 2 and "mean over classes" in figure.layout.title.text


def test_folds_of_one_class_have_no_curve(predictions):
    classes = list(pd.unique(predictions["label"]))
    one = predictions[predictions["label"] == classes[0]]
    assert not precision_recall_figure(one, classes, MALIGNANT, SETTINGS).data
