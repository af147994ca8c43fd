"""Critical-difference plot: methods by value, joined by bars where no two of them are shown to differ.

Source:
    Demsar 2006, JMLR 7:1-30, figure 1; here by paired intervals in place of rank tests.
"""

import re
from itertools import combinations

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.labels import COLOURS, method_name
from slimp_pipeline.reporting.text import figure_text, in_lines, short

_WRAP_CHARACTERS = 18  # longer names would leave a phone no room for the values
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)T(?=\d)")  # of a run's version, which is too long for a line
_FRAME_PX, _GAP_PX, _LINE_PX = 150, 14, 14
_BARS_SHARE = 0.16  # of the width, to the right of the values
_MIN_LANES = 5  # so that few bars stand close together


def critical_difference_figure(values: pd.DataFrame, pairs: pd.DataFrame, metric_name: str) -> go.Figure:
    """Draw methods with their intervals, highest value first, and bars that join those not shown to differ.

    Args:
        values: method, value, ci_low, ci_high; one row per method, left out where value is NaN.
        pairs: method, reference, difference, ci_low, ci_high; every pair once, either way round. One that is
            missing or couldn't be measured shows no difference; the subtitle says how many those are.
        metric_name: As readers know it.

    Raises:
        ValueError: If a method has several rows.
    """
    if values["method"].duplicated().any():
        repeated = values.loc[values["method"].duplicated(), "method"].iloc[0]
        raise ValueError(f"method {repeated} has several rows: give one value per method")
    measured = values.dropna(subset="value").sort_values("value", ascending=False, kind="stable")
    names = [short(method_name(method)) for method in measured["method"]]
    bars = cliques(list(measured["method"]), _pairs_of(pairs[(pairs["ci_low"] > 0) | (pairs["ci_high"] < 0)]))
    figure = go.Figure(_points(measured, names))
    if bars:
        figure.add_trace(_bars(bars, names))
    laid_out(figure, metric_name[:1].upper() + metric_name[1:], _subtitle(measured["method"], pairs), metric_name, "")
    dates_apart = [_DATE.sub(r"\1 ", name) for name in names]
    ticks = [in_lines(name, _WRAP_CHARACTERS) for name in dates_apart]
    row_px = _GAP_PX + _LINE_PX * max([2, *(1 + tick.count("<br>") for tick in ticks)])
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=ticks, range=[len(names) - 0.5, -0.5], zeroline=False
    )
    figure.update_layout(
        height=_FRAME_PX + row_px * max(len(names), 2),
        xaxis={"domain": [0, 1 - _BARS_SHARE], "zeroline": False, "nticks": 6},
        xaxis2={
            "domain": [1 - _BARS_SHARE + 0.02, 1],
            "range": [-0.5, max([_MIN_LANES - 1, *_lanes(bars)]) + 0.5],
            "visible": False,
        },
    )
    return figure


def cliques(methods_sorted: list[str], differing: set[frozenset[str]]) -> list[tuple[int, int]]:
    """Find the longest runs of neighbours in order of which no pair differs.

    Args:
        methods_sorted: Distinct methods by value.
        differing: Pairs that differ.

    Returns:
        First and last position of each run of two or more that is part of no longer one, in order.
    """
    runs: list[tuple[int, int]] = []
    for first in range(len(methods_sorted)):
        last = first
        while last + 1 < len(methods_sorted) and not any(
            frozenset({member, methods_sorted[last + 1]}) in differing for member in methods_sorted[first : last + 1]
        ):
            last += 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def _pairs_of(pairs: pd.DataFrame) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in zip(pairs["method"], pairs["reference"], strict=True)}


def _subtitle(methods: pd.Series, pairs: pd.DataFrame) -> str:
    if methods.empty:
        return "no method could be measured"
    every = {frozenset(pair) for pair in combinations(methods, 2)}
    unmeasured = every - _pairs_of(pairs.dropna(subset=["ci_low", "ci_high"]))
    known = f"; {len(unmeasured)} of {len(every)} pairs weren't measured" if unmeasured else ""
    return f"bars join methods that aren't shown to differ{known}"


def _lanes(bars: list[tuple[int, int]]) -> list[int]:
    """Lane of each bar, counted from the left: the first that is free from its first method on."""
    lanes: list[int] = []
    last_of_lane: list[int] = []
    for first, last in bars:
        free = [lane for lane, end in enumerate(last_of_lane) if end < first]
        lane = free[0] if free else len(last_of_lane)
        last_of_lane[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes


def _points(measured: pd.DataFrame, names: list[str]) -> go.Scatter:
    return go.Scatter(
        x=measured["value"],
        y=list(range(len(names))),
        mode="markers",
        name="mean and interval",
        showlegend=True,
        marker={"size": 9, "color": COLOURS[0]},
        error_x={
            "array": measured["ci_high"] - measured["value"],
            "arrayminus": measured["value"] - measured["ci_low"],
        },
        customdata=measured[["ci_low", "ci_high"]].to_numpy(),
        text=[figure_text(name) for name in names],
        hovertemplate="%{text}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
    )


def _bars(bars: list[tuple[int, int]], names: list[str]) -> go.Scatter:
    """All bars as one line with gaps, so that the legend names them once."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for (first, last), lane in zip(bars, _lanes(bars), strict=True):
        x += [lane, lane, None]
        y += [first - 0.15, last + 0.15, None]
        text += ["<br>".join(figure_text(name) for name in names[first : last + 1])] * 3
    return go.Scatter(
        x=x,
        y=y,
        xaxis="x2",
        mode="lines",
        name="no difference shown",
        line={"width": 5, "color": "#8a949e"},
        text=text,
        meta="; ".join(dict.fromkeys(one.replace("<br>", ", ") for one in text)),
        hovertemplate="no difference shown:<br>%{text}<extra></extra>",
    )
