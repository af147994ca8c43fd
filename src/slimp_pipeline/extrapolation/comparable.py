"""Which fields two cohorts share, so that borrowed values can be held against true ones."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.extrapolation.agreement import as_numbers

_MIDDLE = [0.05, 0.95]  # quantiles between which the middle 90 % lie


def comparable_fields(
    reference: pd.DataFrame,
    target: pd.DataFrame,
    reference_fields: Mapping[str, FieldSpec],
    target_fields: Mapping[str, FieldSpec],
) -> tuple[list[str], pd.DataFrame]:
    """Find the fields whose values can be compared between two cohorts.

    Comparable are fields of one name and kind that both cohorts know: categorical with two observed categories in
    common, checkbox with one option in common, numeric with middle 90 % ranges that overlap (apart, they are probably
    in other units, which a name alone doesn't tell).

    Returns:
        Names of the comparable fields, in the target's order; and the other fields of either cohort: field, reason.
    """
    reasons = {}
    for name in [*target_fields, *(name for name in reference_fields if name not in target_fields)]:
        reasons[name] = _why_not(name, reference, target, reference_fields.get(name), target_fields.get(name))
    others = [[name, reason] for name, reason in reasons.items() if reason]
    return [name for name, reason in reasons.items() if not reason], pd.DataFrame(others, columns=["field", "reason"])


def shared_columns(name: str, field: FieldSpec, *frames: pd.DataFrame) -> list[str]:
    """Columns of a field that all frames have."""
    return [column for column in field.table_columns(name) if all(column in frame for frame in frames)]


def _why_not(
    name: str, reference: pd.DataFrame, target: pd.DataFrame, lent: FieldSpec | None, true: FieldSpec | None
) -> str:
    """Why a field can't be compared; empty where it can."""
    if lent is None or true is None:
        return f"absent from the {'reference' if lent is None else 'target'}"
    if lent.kind != true.kind:
        return f"other kind: {lent.kind} in the reference, {true.kind} in the target"
    columns = [column for column in lent.table_columns(name) if column in true.table_columns(name)]
    if not columns:
        return "other vocabulary: no option in common"
    values = [frame.reindex(columns=columns).dropna(how="all") for frame in (reference, target)]
    for frame, cohort in zip(values, ("reference", "target"), strict=True):
        if frame.empty:
            return f"never known in the {cohort}"
    if lent.kind == "categorical":
        common = set(values[0][name].unique()) & set(values[1][name].unique())
        return "" if len(common) > 1 else "other vocabulary: fewer than two categories in common"
    return _range_reason(values[0][name], values[1][name]) if lent.kind == "numeric" else ""


def _range_reason(reference: pd.Series, target: pd.Series) -> str:
    ranges = [np.quantile(values, _MIDDLE) for values in as_numbers("numeric", reference, target)]
    if max(ranges[0][0], ranges[1][0]) <= min(ranges[0][1], ranges[1][1]):
        return ""
    texts = [f"{low:g} to {high:g}" for low, high in ranges]
    return f"other units? The middle 90 % are {texts[0]} in the reference, {texts[1]} in the target"
