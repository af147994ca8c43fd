"""The look that all figures share."""

import textwrap

import plotly.graph_objects as go

LEGEND_CHARACTERS, _SUBTITLE_CHARACTERS, _LINE_PX = 44, 56, 16  # more wouldn't fit a phone
BY_CHANCE = {"dash": "dot", "color": "#999999"}  # the line of what chance attains


def laid_out(figure: go.Figure, title: str, subtitle: str, x: str, y: str) -> go.Figure:
    """Give a figure the look of all: title and subtitle, axis titles, legend below, font."""
    lines = textwrap.wrap(subtitle, _SUBTITLE_CHARACTERS, break_long_words=False)  # an escaped sign stays whole
    more_px = _LINE_PX * max(0, len(lines) - 1)
    below = {"text": "<br>".join(lines), "font": {"size": 12}}
    figure.update_layout(
        title={"text": title, "font": {"size": 16}, "subtitle": below, "x": 0.02},
        xaxis_title=x or None,
        yaxis_title=y or None,
        height=440 + more_px,
        template="plotly_white",
        margin={"l": 10, "r": 15, "t": 70 + more_px, "b": 10},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        font={"family": "system-ui, sans-serif", "color": "#1b2733"},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
