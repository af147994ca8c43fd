"""ROC, confusion and reliability by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from slimp_pipeline.reporting.figures.scores import confusion_figure, reliability_figure, roc_figure
from slimp_pipeline.reporting.text import figure_text

CLASSES = ["MEL", "NEV"]


def test_the_mean_roc_curve_encloses_the_mean_auroc(predictions):
    classes = list(pd.unique(predictions["label"]))
    figure = roc_figure(predictions, classes, np.array([True, False]))
    assert [trace.name for trace in figure.data[:-1]] == ["SLIMP", "random init"]
    folds = predictions[predictions["method"] == "slimp"].groupby("draw")
    expected = np.mean([roc_auc_score(f["label"] == classes[0], f[f"score.{classes[0]}"]) for _, f in folds])
    assert np.trapezoid(figure.data[0].y, figure.data[0].x) == pytest.approx(expected, abs=0.02)


def test_the_confusion_matrix_counts_the_predictions(predictions):
    classes = list(pd.unique(predictions["label"]))
    figure = confusion_figure(predictions, classes)
    heatmap = figure.data[0]
    own = predictions[predictions["method"] == "slimp"]
    assert np.sum(heatmap.text) == len(own)
    assert heatmap.text[0][1] == ((own["label"] == classes[0]) & (own["predicted"] == classes[1])).sum()
    np.testing.assert_allclose(np.sum(heatmap.z, axis=1), 1)
    assert list(figure.layout.xaxis.ticktext) == [figure_text(name) for name in classes]


def scored(confidences, right, **changes):
    """Predictions of a two-class probe, all of them MEL."""
    label = np.where(right, *CLASSES)
    table = pd.DataFrame({"method": "slimp", "features": "image", "protocol": "linear_probe", "draw": "0"} | changes,
                         index=range(len(label)))  # fmt: skip
    return table.assign(label=label, **{"score.MEL": confidences, "score.NEV": 1 - np.array(confidences)})


def test_reliability_by_hand():
    # Confidences of 0.62, 0.68 (one right) and 0.91, 0.93, 0.95, 0.97 (three right).
    predictions = scored([0.62, 0.91, 0.93, 0.95, 0.68, 0.97], [True, True, False, True, False, True])
    probe, diagonal = reliability_figure(predictions, CLASSES).data
    np.testing.assert_allclose(probe.x, [0.65, 0.94])
    np.testing.assert_allclose(probe.y, [0.5, 0.75])
    assert list(probe.customdata) == [2, 4] and probe.marker.size[0] < probe.marker.size[1]
    assert list(diagonal.x) == list(diagonal.y) == [0, 1] and not diagonal.showlegend


def test_reliability_is_of_the_pre_trained_image_probe_before_and_after_calibration():
    own = scored([0.65, 0.95], [True, True])
    calibrated = scored([0.75, 0.85], [True, False], protocol="linear_probe_calibrated")
    others = [
        scored([0.55], [True], method="random_init"),
        scored([0.55], [True], features="image+lesion"),
        scored([0.55], [True], protocol="knn"),
        scored([0.55], [True], draw="holdout"),  # there are folds
    ]
    figure = reliability_figure(pd.concat([*others, calibrated, own]), CLASSES)
    first, second, _ = figure.data
    assert [first.name, second.name] == ["linear probe", "linear probe, calibrated by a temperature"]
    np.testing.assert_allclose([*first.x, *second.x], [0.65, 0.95, 0.75, 0.85])
    assert first.line.dash != second.line.dash and "SLIMP" in figure.layout.title.subtitle.text


def test_reliability_of_a_hold_out_alone():
    probe, _ = reliability_figure(scored([0.65], [True], draw="holdout"), CLASSES).data
    np.testing.assert_allclose(probe.x, [0.65])
