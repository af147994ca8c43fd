"""How much probes rest on each field."""

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.labels import METRIC_NAMES, in_order, method_colour, method_name
from slimp_pipeline.reporting.text import figure_text, in_lines

_MAX_FIELDS = 25
_LINE_CHARACTERS = 26  # longer names would leave a phone no room for the drops


def importance_figure(importance: pd.DataFrame, metric: str = "balanced_accuracy") -> go.Figure:
    """Drop of a metric as a field is permuted, with its interval; the fields that matter most, of any method."""
    chosen = importance[importance["metric"] == metric]
    largest = chosen.groupby("field")["drop"].max().sort_values(ascending=False, kind="stable")
    shown = list(largest.index[:_MAX_FIELDS])
    chosen = chosen[chosen["field"].isin(shown)].sort_values("field", key=lambda names: names.map(shown.index))
    figure = go.Figure()
    for method in in_order(chosen["method"]):
        own = chosen[chosen["method"] == method]
        figure.add_scatter(
            x=own["drop"],
            y=own["field"].map(shown.index),
            mode="markers",
            name=figure_text(method_name(method)),
            orientation="h",
            offsetgroup=method,
            marker={"size": 8, "color": method_colour(method)},
            error_x={"array": own["ci_high"] - own["drop"], "arrayminus": own["drop"] - own["ci_low"], "thickness": 1},
        )
    figure.update_layout(scattermode="group", scattergap=0.4)
    names = [in_lines(name, _LINE_CHARACTERS) for name in shown]
    places = {"tickvals": list(range(len(shown))), "ticktext": names}
    figure.update_yaxes(**places, range=[len(shown) - 0.5, -0.5], zeroline=False)
    more = f", the {len(shown)} of {len(largest)} that matter most" if len(largest) > len(shown) else ""
    subtitle = f"one field of the test rows permuted at a time{more}"
    laid_out(figure, "What the probes rest on", subtitle, f"drop of {METRIC_NAMES[metric]}", "")
    num_rows = max(chosen["method"].nunique(), *(1 + name.count("<br>") for name in names), 1)
    return figure.update_layout(height=190 + 14 * len(shown) * num_rows)
