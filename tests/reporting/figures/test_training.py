"""Curves of a training carry its history."""

import numpy as np

from slimp_pipeline.reporting.figures.training import health_figure, history_figure


def test_loss_curves_carry_the_history(history):
    figure = history_figure(history)
    assert len(figure.data) == 4
    np.testing.assert_allclose(figure.data[0].y, [5, 2.5, 5 / 3])
    np.testing.assert_allclose(figure.data[2].y, [6, 3.5, 1 + 5 / 3])
    assert [trace.name for trace in figure.data if trace.showlegend] == ["fold 0", "fold 1"]
    one = health_figure(history[history["partition"] == "fold_0"])
    assert [trace.name for trace in one.data if trace.showlegend] == ["image", "phenotype"]
