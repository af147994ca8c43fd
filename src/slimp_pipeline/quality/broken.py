"""Broken pictures: blank ones, and those that stand far from the rest of their cohort in one measure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

_PLAIN_SHADES = 8  # a picture whose pixels, but for 2 %, lie within so many of 256 shades is blank
_LEAST = 1e-3  # lest a logarithm be infinite
_NORMAL = 1.4826  # from the median distance to the standard deviation, for a normal distribution


@dataclass(frozen=True)
class _Kind:
    """One way to stand out.

    Attributes:
        name: As suspects bear it.
        value: What is compared, from the table of measures.
        sides: Where pictures stand out: -1 below the median, 1 above.
        floor: Deviations smaller than this mean nothing: in the measure's unit, or in doublings.
        words: What is said, filled from the picture's measures, its `value` and what is `usual`.
        in_doublings: Whether ratios of values count, not differences.
    """

    name: str
    value: Callable[[pd.DataFrame], pd.Series]
    sides: tuple[int, ...]
    floor: float
    words: str
    in_doublings: bool = False


_KINDS = (
    _Kind(
        "dark",
        lambda measures: measures["brightest_shade"],
        (-1,),
        4.0,
        "1 % of its pixels are brighter than {value:.0f} of 255; {usual:.0f} is usual",
    ),
    _Kind(
        "bright",
        lambda measures: measures["darkest_shade"],
        (1,),
        4.0,
        "1 % of its pixels are darker than {value:.0f} of 255; {usual:.0f} is usual",
    ),
    _Kind(
        "low_information",
        lambda measures: measures["entropy_bits"],
        (-1,),
        0.1,
        "its shades hold {value:.1f} bits; {usual:.1f} are usual",
    ),
    _Kind(
        "blurred",
        lambda measures: measures["sharpness"],
        (-1,),
        0.1,
        "a mean of 3 x 3 pixels takes away {value:.2f} of its detail; {usual:.2f} is usual",
        in_doublings=True,
    ),
    _Kind(
        "odd_shape",
        lambda measures: measures["width_px"] / measures["height_px"],
        (-1, 1),
        0.1,
        "{width_px:.0f} x {height_px:.0f} pixels: {value:.2f} times as wide as high; {usual:.2f} is usual",
        in_doublings=True,
    ),
    _Kind(
        "odd_size",
        lambda measures: np.sqrt(measures["width_px"] * measures["height_px"]),
        (-1, 1),
        0.25,
        "{width_px:.0f} x {height_px:.0f} pixels: as a square of {value:.0f}; {usual:.0f} is usual",
        in_doublings=True,
    ),
)
KINDS = ("blank", *(kind.name for kind in _KINDS))


def find_broken(measures: pd.DataFrame, min_deviations: float) -> pd.DataFrame:
    """Find blank pictures and those that stand out; each stands once, under the first of `KINDS` that fits.

    Args:
        measures: What `appearance.measure_pictures` returns.
        min_deviations: How far from the cohort's median a picture has to be, in standard deviations of the pictures on
            that side of it (estimated by their median distance, which a few broken ones don't move).

    Returns:
        row (of `measures`), kind, score (deviations; of a blank picture the shades that it lacks), why; the highest
        scores of each kind first.
    """
    shades = measures["brightest_shade"] - measures["darkest_shade"]
    parts = [_blank(measures, shades)]
    for kind in _KINDS:
        value = kind.value(measures).to_numpy(dtype=float)
        deviations, usual = _deviations(value, kind), float(np.median(value)) if len(value) else 0.0
        rows = np.flatnonzero(deviations >= min_deviations)
        told = measures.iloc[rows].to_dict("records")
        why = [kind.words.format(**own, value=value[row], usual=usual) for own, row in zip(told, rows, strict=True)]
        parts.append(pd.DataFrame({"row": rows, "kind": kind.name, "score": deviations[rows], "why": why}))
    found = pd.concat(parts, ignore_index=True).drop_duplicates("row")
    order = pd.Categorical(found["kind"], KINDS, ordered=True)
    return found.assign(order=order).sort_values(
        ["order", "score", "row"], ascending=[True, False, True], ignore_index=True
    ).drop(columns="order")  # fmt: skip


def _blank(measures: pd.DataFrame, shades: pd.Series) -> pd.DataFrame:
    rows = np.flatnonzero(shades < _PLAIN_SHADES)
    why = [
        f"98 % of its pixels lie within {1 + own.brightest_shade - own.darkest_shade:.0f} of 256 shades, around "
        f"{(own.brightest_shade + own.darkest_shade) / 2:.0f}"
        for own in measures.iloc[rows].itertuples()
    ]
    score = 255.0 - shades.iloc[rows].to_numpy(dtype=float)
    return pd.DataFrame({"row": rows, "kind": "blank", "score": score, "why": why})


def _deviations(value_N: np.ndarray, kind: _Kind) -> np.ndarray:
    """How far each value is from the median, on the sides that count, in deviations of that side: float (N,)."""
    deviations_N = np.zeros(len(value_N))
    value_N = np.log2(np.maximum(value_N, _LEAST)) if kind.in_doublings else value_N
    for side in kind.sides if len(value_N) else ():
        away_N = side * (value_N - np.median(value_N))
        usual = max(kind.floor, _NORMAL * float(np.median(away_N[away_N >= 0])))
        deviations_N = np.maximum(deviations_N, away_N / usual)
    return deviations_N
