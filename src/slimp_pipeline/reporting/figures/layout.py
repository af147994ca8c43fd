"""The look that all figures share."""

import plotly.graph_objects as go

BY_CHANCE = {"dash": "dot", "color": "#999999"}  # the line of what chance attains


def laid_out(figure: go.Figure, title: str, subtitle: str, x: str, y: str) -> go.Figure:
    """Give a figure the look of all: title and subtitle, axis titles, legend below, font."""
    figure.update_layout(
        title={"text": title, "font": {"size": 16}, "subtitle": {"text": subtitle, "font": {"size": 12}}, "x": 0.02},
        xaxis_title=x or None,
        yaxis_title=y or None,
        height=440,
        template="plotly_white",
        margin={"l": 10, "r": 15, "t": 70, "b": 10},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        font={"family": "system-ui, sans-serif", "color": "#1b2733"},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
