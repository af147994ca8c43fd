"""What a figure shows, in words: for those who can't see it."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.reporting.text import read_out

_NUM_POINTS = 8  # of a trace that are read out one by one; of more their ends are
_NUM_CELLS = 64


def described(figure: go.Figure) -> tuple[str, str]:
    """Name a figure, and say its main numbers.

    A trace whose points say nothing by themselves has `meta`: what is read out in their place. Lines to
    guide the eye, which have no hover text, and what isn't visible are left out.

    Returns:
        Title with subtitle; and by trace every point with its interval where they are few, else where it starts, where
        it ends and between what it stays.
    """
    title = figure.layout.title
    name = ", ".join(filter(None, (read_out(title.text), read_out(title.subtitle.text)))) or "Figure"
    axes = (("Across", figure.layout.xaxis), ("Up", figure.layout.yaxis))
    parts = [f"{place}: {read_out(axis.title.text)}." for place, axis in axes if axis.title.text]
    return name, " ".join([*parts, *_traces(figure)])


def _traces(figure: go.Figure) -> Iterator[str]:
    for trace in figure.data:
        if trace.hoverinfo == "skip" or trace.visible is False:
            continue
        label = f"{read_out(trace.name)}: " if trace.name else ""
        kinds = {"heatmap": _cells, "histogram": _histogram}
        yield label + (read_out(trace.meta) or kinds.get(trace.type, _points)(figure, trace)) + "."


def _points(figure: go.Figure, trace: Any) -> str:
    x, y = _values(trace.x), _values(trace.y)
    sideways = trace.error_x.array is not None or trace.orientation == "h"
    error, names, values = (trace.error_x, y, x) if sideways else (trace.error_y, x, y)
    named = _names(figure.layout.yaxis if sideways else figure.layout.xaxis, names)
    points = [
        (name, value, interval)
        for name, value, interval in zip(named, values, _intervals(values, error), strict=True)
        if not pd.isna(value)
    ]
    if not points:
        return "no point"
    if len(points) <= _NUM_POINTS:
        return "; ".join(f"{name} {_said(value)}{interval}" for name, value, interval in points)
    if getattr(trace, "mode", None) == "markers" or isinstance(points[0][1], str):
        return f"{len(points)} points"
    (first, start, _), (last, end, _) = points[0], points[-1]
    numbers = [value for _, value, _ in points]
    between = f"between {_said(min(numbers))} and {_said(max(numbers))}"
    return f"from {_said(start)} at {first} to {_said(end)} at {last}, {between}"


def _intervals(values: list[Any], error: Any) -> list[str]:
    above = _values(error.array) or [None] * len(values)
    below = _values(error.arrayminus) or above
    return [
        "" if pd.isna(over) or pd.isna(under) else f" [{_said(value - under)}, {_said(value + over)}]"
        for value, under, over in zip(values, below, above, strict=True)
    ]


def _cells(figure: go.Figure, trace: Any) -> str:
    rows = _values(trace.z if trace.text is None else trace.text)
    columns = _names(figure.layout.xaxis, trace.x)
    names = _names(figure.layout.yaxis, trace.y)
    if len(rows) * len(columns) > _NUM_CELLS:
        return f"{len(rows)} rows by {len(columns)} columns"
    return "; ".join(
        f"{name}: " + ", ".join(f"{column} {_said(cell)}" for column, cell in zip(columns, row, strict=True))
        for name, row in zip(names, rows, strict=True)
    )


def _names(axis: Any, places: Any) -> list[str]:
    """What an axis calls its places."""
    texts = dict(zip(_values(axis.tickvals), _values(axis.ticktext), strict=False))
    return [_said(texts.get(place, place)) for place in _values(places)]


def _histogram(_: go.Figure, trace: Any) -> str:
    values = [value for value in _values(trace.x) if not pd.isna(value)]
    if not values:
        return "no value"
    return (
        f"{len(values)} values from {_said(min(values))} to {_said(max(values))}, half below {_said(np.median(values))}"
    )


def _values(array: Any) -> list[Any]:
    """Of a figure that was loaded from JSON, Plotly leaves arrays as the bytes that they were written as."""
    if array is None:
        return []
    if isinstance(array, dict):
        shape = [int(size) for size in str(array.get("shape", "-1")).split(",")]
        array = np.frombuffer(base64.b64decode(array["bdata"]), np.dtype(array["dtype"])).reshape(shape)
    return list(np.asarray(array, dtype=None if isinstance(array, np.ndarray) else object).tolist())


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return read_out(str(value))
