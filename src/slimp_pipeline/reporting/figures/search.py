"""How a search went: what trials came to as they saw pictures, and the best so far by hours."""

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.labels import COLOURS, METRIC_NAMES

_OTHERS = "#999999"
_WHO = "linear probe on images, inner validation patients"


def learning_figure(curves: pd.DataFrame, chosen: int, metric: str) -> go.Figure:
    """Quality by pictures seen, a line a trial; the chosen one stands out.

    Args:
        curves: Table with `search.outcome.CURVE_COLUMNS`.
        chosen: Number of the chosen trial.
        metric: What `value` is.
    """
    figure = go.Figure()
    trials = [trial for trial in dict.fromkeys(curves["trial"]) if trial != chosen]
    for position, trial in enumerate([*trials, chosen]):  # the chosen one is drawn over the others
        line, is_chosen = curves[curves["trial"] == trial], trial == chosen
        figure.add_scatter(
            x=line["images_seen"],
            y=line["value"],
            mode="lines+markers",
            name=f"trial {trial}, chosen" if is_chosen else "other trials",
            legendgroup=str(is_chosen),
            showlegend=is_chosen or position == 0,
            line={"color": COLOURS[0] if is_chosen else _OTHERS, "width": 3 if is_chosen else 1},
            hovertemplate=f"trial {trial}: %{{y:.3f}} after %{{x}} pictures<extra></extra>",
        )
    return laid_out(
        figure, "Learning curves of the trials", f"{_WHO}; a point an epoch", "pictures seen", _named(metric)
    )


def budget_figure(trials: pd.DataFrame, metric: str) -> go.Figure:
    """Trials that ran to their end by the hours until then, and the best so far.

    Args:
        trials: Table with `search.outcome.TRIAL_COLUMNS`.
        metric: What `value` is.
    """
    complete = trials[trials["state"] == "complete"]
    figure = go.Figure()
    figure.add_scatter(
        x=complete["ended_at_hours"], y=complete["value"], mode="markers", name="a trial",
        marker={"color": _OTHERS, "size": 9}, text=complete["trial"],
        hovertemplate="trial %{text}: %{y:.3f} at %{x:.2f} h<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=complete["ended_at_hours"], y=complete["value"].cummax(), mode="lines", name="best so far",
        line={"color": COLOURS[0], "shape": "hv"},
    )  # fmt: skip
    others = trials["state"].value_counts().drop("complete", errors="ignore")
    counted = "".join(f"; {count} {state}" for state, count in others.items())
    subtitle = f"{_WHO}; {len(complete)} trials ran to their end{counted}"
    return laid_out(figure, "Best so far by hours of computing", subtitle, "hours", _named(metric))


def _named(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric.replace("_", " "))
