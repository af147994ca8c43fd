"""Figures carry the numbers of their tables."""

import html
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from slimp_pipeline.parameters import Objective
from slimp_pipeline.reporting import figures
from slimp_pipeline.reporting.labels import method_colour, method_name

NAMES = ["SLIMP", "initial weights", "random init", "metadata, linear"]


def test_the_results_figure_shows_means_and_intervals_in_the_order_of_methods(results):
    figure = figures.results_figure(results)
    assert [trace.name for trace in figure.data] == NAMES
    chosen = results[(results["draw"] == "all") & (results["metric"] == "balanced_accuracy")]
    for trace, method in zip(figure.data, ("slimp", "initial_weights", "random_init", "metadata_linear"), strict=True):
        rows = chosen[(chosen["method"] == method) & (chosen["protocol"] != "knn")]
        np.testing.assert_allclose(trace.x, rows["value"])
        np.testing.assert_allclose(np.add(trace.x, trace.error_x.array), rows["ci_high"])
        np.testing.assert_allclose(np.subtract(trace.x, trace.error_x.arrayminus), rows["ci_low"])


def test_a_hold_out_alone_is_shown_as_such(results):
    alone = results[results["draw"] == "0"].assign(draw="holdout")
    assert "hold-out" in figures.results_figure(alone).layout.title.subtitle.text


def test_loss_curves_carry_the_history(history):
    figure = figures.history_figure(history)
    assert len(figure.data) == 4
    np.testing.assert_allclose(figure.data[0].y, [5, 2.5, 5 / 3])
    np.testing.assert_allclose(figure.data[2].y, [6, 3.5, 1 + 5 / 3])
    assert [trace.name for trace in figure.data if trace.showlegend] == ["fold 0", "fold 1"]
    one = figures.health_figure(history[history["partition"] == "fold_0"])
    assert [trace.name for trace in one.data if trace.showlegend] == ["image", "phenotype"]


def test_the_mean_roc_curve_encloses_the_mean_auroc(predictions):
    classes = list(pd.unique(predictions["label"]))
    figure = figures.roc_figure(predictions, classes, np.array([True, False]))
    assert [trace.name for trace in figure.data[:-1]] == ["SLIMP", "random init"]
    folds = predictions[predictions["method"] == "slimp"].groupby("draw")
    expected = np.mean([roc_auc_score(f["label"] == classes[0], f[f"score.{classes[0]}"]) for _, f in folds])
    assert np.trapezoid(figure.data[0].y, figure.data[0].x) == pytest.approx(expected, abs=0.02)


def test_the_confusion_matrix_counts_the_predictions(predictions):
    classes = list(pd.unique(predictions["label"]))
    heatmap = figures.confusion_figure(predictions, classes).data[0]
    own = predictions[predictions["method"] == "slimp"]
    assert np.sum(heatmap.text) == len(own)
    assert heatmap.text[0][1] == ((own["label"] == classes[0]) & (own["predicted"] == classes[1])).sum()
    np.testing.assert_allclose(np.sum(heatmap.z, axis=1), 1)
    assert list(heatmap.x) == [html.escape(name) for name in classes]


def test_the_map_shows_every_labelled_image_by_class(drawn):
    assert [len(trace.x) for trace in drawn["embedding_map"].data] == [20, 20]


@pytest.mark.parametrize("objective", get_args(Objective))
def test_encoders_on_one_page_have_names_and_colours_of_their_own(objective):
    starts = ["initial_weights", "random_init"]
    methods = [objective, f"{objective}_adapted", *starts, *(f"{start}_adapted" for start in starts), "supervised"]
    assert len({method_colour(method) for method in methods}) == len(methods)
    assert len({method_name(method) for method in methods}) == len(methods)
    assert method_name(f"{objective}_adapted") == f"{method_name(objective)}, adapted"
