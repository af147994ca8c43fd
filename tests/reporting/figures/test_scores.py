"""Confusion and reliability by hand."""

import numpy as np
import pandas as pd

from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting.figures.scores import confusion_figure, reliability_figure
from slimp_pipeline.reporting.text import figure_text

CLASSES = ["MEL", "NEV"]
SETTINGS = EvaluationParams(num_resamples=200)


def test_the_confusion_matrix_counts_the_predictions(predictions):
    classes = list(pd.unique(predictions["label"]))
    figure = confusion_figure(predictions, classes)
    heatmap = figure.data[0]
    own = predictions[predictions["method"] == "slimp"]
    assert np.sum(heatmap.text) == len(own)
    assert heatmap.text[0][1] == ((own["label"] == classes[0]) & (own["predicted"] == classes[1])).sum()
    np.testing.assert_allclose(np.sum(heatmap.z, axis=1), 1)
    assert figure.layout.xaxis.ticktext[1] == figure.layout.yaxis.ticktext[1] == figure_text(classes[1])


def test_long_class_names_leave_the_confusion_matrix_its_room(predictions):
    long = [f"Squamous cell carcinoma, not otherwise specified {number}" for number in range(11)]
    few, many = (confusion_figure(predictions, classes) for classes in (CLASSES, long))
    rows = [line for tick in many.layout.yaxis.ticktext for line in tick.split("<br>")]
    assert max(map(len, rows)) <= 18 and max(map(len, many.layout.xaxis.ticktext)) <= 16
    assert many.layout.height > few.layout.height + 14 * (len(rows) - 11)
    assert list(many.layout.xaxis.tickvals) == list(range(11))  # cut names may coincide


def scored(confidences, right, **changes):
    """Predictions of a two-class probe, all of them MEL."""
    label = np.where(right, *CLASSES)
    table = pd.DataFrame({"method": "slimp", "features": "image", "protocol": "linear_probe", "draw": "0"} | changes,
                         index=range(len(label)))  # fmt: skip
    patient = [f"p{number}" for number in range(len(label))]
    return table.assign(
        label=label, patient_id=patient, **{"score.MEL": confidences, "score.NEV": 1 - np.array(confidences)}
    )


def test_reliability_by_hand():
    # Confidences of 0.62, 0.68 (one right) and 0.91, 0.93, 0.95, 0.97 (three right).
    predictions = scored([0.62, 0.91, 0.93, 0.95, 0.68, 0.97], [True, True, False, True, False, True])
    probe, diagonal = reliability_figure(predictions, CLASSES, SETTINGS).data
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
    figure = reliability_figure(pd.concat([*others, calibrated, own]), CLASSES, SETTINGS)
    first, second, _ = figure.data
    assert [first.name, second.name] == ["linear probe", "linear probe, calibrated by a temperature"]
    np.testing.assert_allclose([*first.x, *second.x], [0.65, 0.95, 0.75, 0.85])
    assert first.line.dash != second.line.dash and "SLIMP" in figure.layout.title.subtitle.text


def test_reliability_of_a_hold_out_alone():
    probe, _ = reliability_figure(scored([0.65], [True], draw="holdout"), CLASSES, SETTINGS).data
    np.testing.assert_allclose(probe.x, [0.65])


def test_bars_are_intervals_of_the_accuracy_that_hold_it():
    right = [True, False] * 10 + [True] * 10
    probe, _ = reliability_figure(scored([0.62] * 20 + [0.95] * 10, right), CLASSES, SETTINGS).data
    assert probe.error_y.array[0] > 0.1 and probe.error_y.arrayminus[0] > 0.1
    assert probe.error_y.array[1] == probe.error_y.arrayminus[1] == 0  # all are right
