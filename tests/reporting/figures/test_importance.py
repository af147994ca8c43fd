"""How much probes rest on each field, drawn."""

import numpy as np

from slimp_pipeline.reporting.figures.importance import importance_figure


def test_fields_stand_by_how_much_they_matter_with_their_intervals(field_importance):
    figure = importance_figure(field_importance)
    assert [trace.name for trace in figure.data] == ["SLIMP", "metadata, linear"]
    assert figure.layout.yaxis.ticktext[:2] == ("diameter_mm", "age_years")
    trace = figure.data[0]
    np.testing.assert_allclose(trace.x, [0.2, 0.0, -0.01])
    np.testing.assert_allclose(trace.error_x.array, 0.04)
    np.testing.assert_allclose(trace.error_x.arrayminus, 0.05)
    assert list(trace.y) == [0, 1, 2] and "<" not in "".join(figure.layout.yaxis.ticktext)


def test_nothing_measured_draws_nothing(field_importance):
    assert not importance_figure(field_importance[:0]).data
