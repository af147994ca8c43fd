"""Figures of a search carry its trials."""

import pandas as pd

from slimp_pipeline.reporting.figures.search import budget_figure, learning_figure

CURVES = pd.DataFrame(
    [(0, 1, 40, 0.2), (0, 2, 80, 0.3), (1, 1, 40, 0.1), (2, 1, 40, 0.3), (2, 2, 80, 0.5)],
    columns=["trial", "epoch", "images_seen", "value"],
)
TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "state": ["complete", "pruned", "complete", "complete"],
        "value": [0.3, None, 0.5, 0.4],
        "ended_at_hours": [1.0, 1.5, 2.5, 3.5],
    }
)


def test_each_trial_is_a_line_and_the_chosen_one_is_named_and_on_top():
    figure = learning_figure(CURVES, 2, "balanced_accuracy")
    assert [list(trace.x) for trace in figure.data] == [[40, 80], [40], [40, 80]]
    assert list(figure.data[-1].y) == [0.3, 0.5] and figure.data[-1].name == "trial 2, chosen"
    assert [trace.name for trace in figure.data if trace.showlegend] == ["other trials", "trial 2, chosen"]


def test_a_chosen_trial_that_is_alone_has_no_others_in_its_legend():
    figure = learning_figure(CURVES[CURVES["trial"] == 0], 0, "balanced_accuracy")
    assert [trace.name for trace in figure.data if trace.showlegend] == ["trial 0, chosen"]


def test_the_best_so_far_never_falls_and_trials_that_ended_early_are_counted():
    figure = budget_figure(TRIALS, "balanced_accuracy")
    points, best = figure.data
    assert list(points.x) == [1.0, 2.5, 3.5] and list(points.y) == [0.3, 0.5, 0.4]
    assert list(best.y) == [0.3, 0.5, 0.5]
    assert "3 trials ran to their end" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "1 pruned" in figure.layout.title.subtitle.text
