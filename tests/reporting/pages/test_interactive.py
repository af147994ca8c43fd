"""Figures to look into."""

import re

from plotly.offline import get_plotlyjs

from slimp_pipeline.reporting.pages.interactive import render_figures


def test_the_page_holds_plotly_once_and_every_figure_in_order(drawn):
    page = render_figures(drawn)
    assert page.count(get_plotlyjs()) == 1
    assert page.count("Plotly.newPlot(") - get_plotlyjs().count("Plotly.newPlot(") == len(drawn)
    assert re.findall(r'<h2 id="(\w+)">', page) == list(drawn)


def test_the_page_needs_nothing_from_elsewhere(drawn):
    page = render_figures(drawn).replace(get_plotlyjs(), "")
    assert not re.search(r"<(script|img|iframe|link)[^>]*(src|href)=[\"']?(https?:)?//", page)
    assert "cdn." not in page and "@import" not in page
