"""A figure in words."""

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest

from slimp_pipeline.reporting.figures.described import described
from slimp_pipeline.reporting.figures.layout import laid_out


def as_loaded(figure):
    """As a catalog hands it on: arrays are bytes."""
    return plotly.io.from_json(figure.to_json())


@pytest.mark.parametrize("passed_on", [lambda figure: figure, as_loaded])
def test_few_points_are_read_out_with_their_intervals_and_many_by_their_ends(passed_on):
    figure = go.Figure()
    error = {"array": np.array([0.1, 0.2]), "arrayminus": np.array([0.05, 0.1])}
    figure.add_scatter(x=np.array([0.5, 0.25]), y=["image", "image<br>+ lesion"], name="a&lt;b", error_x=error)
    figure.add_scatter(x=np.arange(20.0), y=np.arange(20.0) ** 2, mode="lines", name="curve")
    figure.add_scatter(x=[0, 1], y=[0, 1], hoverinfo="skip")
    title, numbers = described(passed_on(laid_out(figure, "Probe", "with intervals", "accuracy", "")))
    assert title == "Probe, with intervals"
    assert numbers == (
        "Across: accuracy. a<b: image 0.5 [0.45, 0.6]; image + lesion 0.25 [0.15, 0.45]. "
        "curve: from 0 at 0 to 361 at 19, between 0 and 361."
    )


@pytest.mark.parametrize("passed_on", [lambda figure: figure, as_loaded])
def test_a_matrix_is_read_out_by_row_with_the_names_of_its_ticks(passed_on):
    figure = go.Figure(go.Heatmap(z=[[0.9, 0.1], [0.0, 1.0]], text=np.array([[9, 1], [0, 4]]), x=[0, 1], y=[0, 1]))
    ticks = {"tickvals": [0, 1], "ticktext": ["MEL", "&lt;NEV&gt;"]}
    figure.update_layout(xaxis=ticks, yaxis=ticks)
    assert described(passed_on(figure))[1] == "MEL: MEL 9, <NEV> 1; <NEV>: MEL 0, <NEV> 4."


def test_points_of_a_map_are_counted_a_histogram_is_summed_up_and_meta_stands_for_points():
    figure = go.Figure(go.Scatter(x=np.arange(30.0), y=np.arange(30.0), mode="markers", name="NEV"))
    figure.add_histogram(x=np.array([0.1, 0.5, 0.9]))
    figure.add_scatter(x=[1, None], y=[2, None], mode="lines", name="bars", meta="A, B")
    figure.add_scatter(x=[], y=[], name="none")
    assert described(figure) == (
        "Figure",
        "NEV: 30 points. 3 values from 0.1 to 0.9, half below 0.5. bars: A, B. none: no point.",
    )
