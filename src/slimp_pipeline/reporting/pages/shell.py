"""What all pages share: frame, style, and figures, inline, so that opening a page sends no request."""

import json
from importlib import resources
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from slimp_pipeline.reporting.figures.described import described
from slimp_pipeline.reporting.text import read_out, visible

_FOLDER = resources.files(__package__)
_FIGURE_OPTIONS = {"responsive": True, "displaylogo": False, "modeBarButtons": [["toImage"]]}
_FIGURE = Markup(
    '<figure class="plot" tabindex="0" aria-label="{title}">{choice}{drawn}'
    '<figcaption class="unseen">{numbers}</figcaption></figure>'
)
_CHOICE = Markup('<label class="choice">Shown: <select>{options}</select></label>')
_OPTION = Markup('<option value="{update}">{label}</option>')


def render_template(name: str, **values: Any) -> str:
    """Fill one of this folder's templates; what it is given is escaped, and made visible."""
    loader = PackageLoader(__package__, "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_finalized)
    environment.filters["visible"] = visible
    environment.filters["exact"] = Markup.escape  # for a machine to read: control characters stay
    return environment.get_template(name).render(
        plotly=get_plotlyjs(), style=_FOLDER.joinpath("style.css").read_text(encoding="utf-8"), **values
    )


def embedded(figure: go.Figure) -> Markup:
    """A figure as HTML for a page that holds Plotly, with a name and its main numbers for those who don't see it.

    A menu of the figure's becomes one of the page's: Plotly's can't be reached by keyboard.
    """
    choice = Markup("").join(_choice(menu) for menu in figure.layout.updatemenus)
    plain = go.Figure(figure).update_layout(updatemenus=[], overwrite=True) if choice else figure
    drawn = plain.to_html(full_html=False, include_plotlyjs=False, config=_FIGURE_OPTIONS)
    title, numbers = described(figure)
    return _FIGURE.format(title=visible(title), choice=choice, drawn=Markup(drawn), numbers=visible(numbers))


def _choice(menu: Any) -> Markup:
    options = [_OPTION.format(update=json.dumps(button.args), label=read_out(button.label)) for button in menu.buttons]
    return _CHOICE.format(options=Markup("").join(options))


def _finalized(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
