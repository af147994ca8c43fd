"""What all figures share."""

import plotly.graph_objects as go

from slimp_pipeline.reporting.figures.layout import laid_out


def test_a_long_subtitle_is_broken_so_that_it_fits_a_phone_and_the_drawing_makes_room():
    short, long = (laid_out(go.Figure(), "title", "some words " * number, "x", "y") for number in (1, 9))
    lines = long.layout.title.subtitle.text.split("<br>")
    assert len(lines) == 2 and max(map(len, lines)) <= 56
    assert long.layout.margin.t > short.layout.margin.t and long.layout.height > short.layout.height
