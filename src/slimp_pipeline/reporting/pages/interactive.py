"""Figures to look into, on one HTML page that carries what it needs to draw them."""

from collections.abc import Mapping

import plotly.graph_objects as go

from slimp_pipeline.reporting.pages.shell import embedded, render_template


def render_figures(figures: Mapping[str, go.Figure]) -> str:
    """Render figures, in their order, each under its name.

    Returns:
        HTML; Plotly stands in it once, so that opening it sends no request.
    """
    return render_template("interactive.html", figures={name: embedded(figure) for name, figure in figures.items()})
