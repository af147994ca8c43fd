"""Figures of results carry the numbers of their tables."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.robustness import ROBUSTNESS_COLUMNS
from slimp_pipeline.evaluation.measures.records import RESULT_COLUMNS
from slimp_pipeline.reporting.figures.results import low_shot_figure, results_figure, robustness_figure
from slimp_pipeline.reporting.labels import method_colour

SHOTS = {"10": 0.5, "1": 0.3, "5": 0.4, "100%": 0.9, "25%": 0.7, "2.5%": 0.6}  # not in order, nor is the text
NAMES = ["SLIMP", "initial weights", "random init", "metadata, linear"]
CLASSES = ["MEL", "NEV"]


def test_the_results_figure_shows_means_and_intervals_in_the_order_of_methods(results):
    figure = results_figure(results)
    assert [trace.name for trace in figure.data] == NAMES
    chosen = results[(results["draw"] == "all") & (results["metric"] == "balanced_accuracy")]
    for trace, method in zip(figure.data, ("slimp", "initial_weights", "random_init", "metadata_linear"), strict=True):
        rows = chosen[(chosen["method"] == method) & (chosen["protocol"] != "knn")]
        np.testing.assert_allclose(trace.x, rows["value"])
        np.testing.assert_allclose(np.add(trace.x, trace.error_x.array), rows["ci_high"])
        np.testing.assert_allclose(np.subtract(trace.x, trace.error_x.arrayminus), rows["ci_low"])


def test_a_hold_out_alone_is_shown_as_such(results):
    alone = results[results["draw"] == "0"].assign(draw="holdout")
    assert "hold-out" in results_figure(alone).layout.title.subtitle.text


def by_axis(figure, axis):
    """Traces of one panel."""
    return [trace for trace in figure.data if (trace.xaxis or "x") == axis]


@pytest.fixture
def low_shot():
    rows = []
    for method, add in (("random_init", 0.0), ("slimp", 0.05)):
        for features, more in (("image", 0.0), ("image+lesion+patient", 0.01)):
            for shots, value in SHOTS.items():
                for draw, off in (("0", -0.1), ("all", 0.0)):
                    value_here = value + add + more + off
                    line = ["small", method, features, "low_shot", shots, draw, "balanced_accuracy", value_here]
                    rows.append([*line, value_here - 0.02, value_here + 0.03, 30, 10])
                    rows.append([*line[:6], "macro_f1", 0.1, 0.0, 0.2, 30, 10])
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def test_few_labels_rise_from_left_to_right_by_rows_and_by_patients(low_shot, results):
    figure = low_shot_figure(pd.concat([results, low_shot]))
    by_rows, by_share = by_axis(figure, "x"), by_axis(figure, "x2")
    names = [
        "SLIMP, image",
        "SLIMP, image + lesion + patient",
        "random init, image",
        "random init, image + lesion + patient",
    ]
    assert [trace.name for trace in by_rows] == [trace.name for trace in by_share] == names
    assert all(list(trace.x) == ["1", "5", "10"] for trace in by_rows)
    assert all(list(trace.x) == ["2.5%", "25%", "100%"] for trace in by_share)
    np.testing.assert_allclose(by_rows[0].y, [0.35, 0.45, 0.55])
    np.testing.assert_allclose(by_share[3].y, [0.61, 0.71, 0.91])
    np.testing.assert_allclose(by_share[3].error_y.array, 0.03)
    np.testing.assert_allclose(by_share[3].error_y.arrayminus, 0.02)
    assert by_rows[0].line.color == by_share[0].line.color == method_colour("slimp") != by_rows[2].line.color
    assert by_rows[0].line.dash == by_rows[2].line.dash != by_rows[1].line.dash
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "category"


def test_every_line_of_few_labels_is_named_once_whichever_panel_there_is(low_shot):
    of_patients = low_shot["shots"].str.endswith("%")
    for table in (low_shot, low_shot[of_patients], low_shot[~of_patients]):
        named = [trace.name for trace in low_shot_figure(table).data if trace.showlegend]
        assert len(named) == len(set(named)) == 4


def test_the_longest_names_of_few_labels_fit_the_width_of_a_phone(low_shot):
    longest = low_shot.assign(method=low_shot["method"].replace("random_init", "initial_weights_adapted"))
    named = [trace.name for trace in low_shot_figure(longest).data]
    assert "initial weights, the target's fields,<br>image + lesion + patient" in named
    assert max(len(line) for name in named for line in name.split("<br>")) <= 48
    assert low_shot_figure(longest).layout.height > low_shot_figure(low_shot).layout.height


def test_few_labels_of_a_hold_out_alone_and_none_at_all(low_shot, results):
    alone = low_shot[low_shot["draw"] == "0"].assign(draw="holdout")
    np.testing.assert_allclose(by_axis(low_shot_figure(alone), "x")[2].y, [0.2, 0.3, 0.4])
    assert not low_shot_figure(results).data


@pytest.fixture
def robustness():
    conditions = [("intact", 0.0, 0.6), ("dropped", 0.5, 0.4), ("dropped", 0.1, 0.55), ("corrupted", 0.3, 0.5)]
    conditions += [("no patient level", 0.0, 0.58), ("no lesion level", 0.0, 0.35)]
    rows = []
    for method, add in (("metadata_linear", 0.0), ("slimp", 0.1)):
        for kind, share, value in conditions:
            for metric, more in (("balanced_accuracy", 0.0), ("macro_f1", 0.2)):
                here = value + add + more
                line = ["small", method, "image+lesion+patient", kind, share, metric, here, here - 0.04, here + 0.05]
                rows.append([*line, 10])
    return pd.DataFrame(rows, columns=ROBUSTNESS_COLUMNS)


def test_worse_metadata_start_from_intact_ones(robustness):
    figure = robustness_figure(robustness)
    dropped, corrupted, levels = (by_axis(figure, axis) for axis in ("x", "x2", "x3"))
    for panel in (dropped, corrupted, levels):
        assert [trace.name for trace in panel] == ["SLIMP", "metadata, linear"]
    np.testing.assert_allclose(dropped[0].x, [0, 10, 50])
    np.testing.assert_allclose(dropped[0].y, [0.7, 0.65, 0.5])
    np.testing.assert_allclose(corrupted[1].x, [0, 30])
    np.testing.assert_allclose(corrupted[1].y, [0.6, 0.5])
    np.testing.assert_allclose(corrupted[1].error_y.array, 0.05)
    np.testing.assert_allclose(corrupted[1].error_y.arrayminus, 0.04)
    assert list(levels[0].x) == ["patient", "lesion"]
    np.testing.assert_allclose(levels[0].y, [0.68, 0.45])
    assert levels[0].marker.color == dropped[0].line.color
    assert [trace.name for trace in figure.data if trace.showlegend] == ["SLIMP", "metadata, linear"]


def test_without_measured_robustness_nothing_is_drawn(robustness):
    assert not robustness_figure(robustness.iloc[:0]).data
