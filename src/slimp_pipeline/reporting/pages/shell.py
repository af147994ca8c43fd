"""What all pages share: template, style, and figures, inline, so that opening a page sends no request."""

from importlib import resources
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs

_FOLDER = resources.files(__package__)
_FIGURE_OPTIONS = {"responsive": True, "displaylogo": False, "modeBarButtons": [["toImage"]]}


def render_template(name: str, **values: Any) -> str:
    """Fill one of this folder's templates; what it is given is escaped."""
    loader = PackageLoader(__package__, "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(name).render(
        plotly=get_plotlyjs(), style=_FOLDER.joinpath("style.css").read_text(encoding="utf-8"), **values
    )


def embedded(figure: go.Figure) -> str:
    """A figure as HTML for a page that holds Plotly."""
    return figure.to_html(full_html=False, include_plotlyjs=False, config=_FIGURE_OPTIONS)
