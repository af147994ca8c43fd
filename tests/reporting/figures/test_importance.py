"""How much probes rest on each field, drawn."""

import numpy as np

from slimp_pipeline.reporting.figures.importance import importance_figure
from slimp_pipeline.reporting.text import read_out


def test_fields_stand_by_how_much_they_matter_with_their_intervals(field_importance):
    figure = importance_figure(field_importance)
    assert [trace.name for trace in figure.data] == ["SLIMP", "metadata, linear"]
    assert figure.layout.yaxis.ticktext[:2] == ("diameter_mm", "age_years")
    trace = figure.data[0]
    np.testing.assert_allclose(trace.x, [0.2, 0.0, -0.01])
    np.testing.assert_allclose(trace.error_x.array, 0.04)
    np.testing.assert_allclose(trace.error_x.arrayminus, 0.05)
    assert list(trace.y) == [0, 1, 2] and "<" not in "".join(figure.layout.yaxis.ticktext).replace("<br>", "")


def test_long_names_of_fields_are_broken_and_have_room(field_importance):
    long = field_importance.assign(field=field_importance["field"].replace("age_years", "a_field_of_many_words_" * 3))
    figure, usual = importance_figure(long), importance_figure(field_importance)
    lines = [read_out(line) for tick in figure.layout.yaxis.ticktext for line in tick.split("<br>")]
    assert max(map(len, lines)) <= 26 and figure.layout.height >= usual.layout.height
    alone = importance_figure(long[long["method"] == "slimp"])
    assert alone.layout.height >= 190 + 14 * len(lines)


def test_nothing_measured_draws_nothing(field_importance):
    assert not importance_figure(field_importance[:0]).data
