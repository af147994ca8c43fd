"""What of a target's metadata the source's encoders can read: fields are found by name alone."""

import logging

import pandas as pd

from slimp_pipeline.tables.encoding import CategoricalEncoding, CheckboxEncoding, Encoding, NumericEncoding

logger = logging.getLogger(__name__)
_FAR_APART = 4.0  # standard deviations between the target's median and the source's mean: probably other units
_FEW = 0.05  # share of a field's known values whose category the source had


def readable_fields(encoding: Encoding, rows: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Tell which of the source's fields a target has in a form that the source's encoder understands.

    Args:
        encoding: Of the source.
        rows: Target rows.

    Returns:
        Names of the fields that are read; and field -> what is wrong, for those that bear the same name and yet differ.
        Values that the encoder doesn't know count as not known; numbers far from the source's are read, and doubtful.
        A field that the target lacks is in neither.
    """
    readable, wrong = [], {}
    levels = (encoding.lesion, encoding.patient)
    for level, name in [(own, name) for own in levels for name in own.fields]:
        own = rows.reindex(columns=[column for column in level.columns(name) if column in rows]).dropna(how="all")
        if own.empty:
            continue
        readable.append(name)
        if reason := _difference(level.fields[name], own):
            wrong[name] = reason
    return readable, wrong


def report_transfer(encoding: Encoding, rows: pd.DataFrame) -> None:
    """Say on the log what the source's metadata encoders read of a target, and what is doubtful."""
    readable, wrong = readable_fields(encoding, rows)
    total = len(encoding.lesion.fields) + len(encoding.patient.fields)
    logger.info("Of the source's %d fields the target has %d: %s", total, len(readable), ", ".join(readable) or "none")
    for name, reason in wrong.items():
        logger.info("  %s: %s", name, reason)


def _difference(field: NumericEncoding | CategoricalEncoding | CheckboxEncoding, own: pd.DataFrame) -> str:
    if isinstance(field, NumericEncoding):
        values = pd.to_numeric(own.iloc[:, 0].astype(str), errors="coerce").dropna()
        if values.empty:
            return "its values are no numbers"
        if abs(values.median() - field.mean) > _FAR_APART * field.std:
            return f"other units? median {values.median():.4g}, the source's mean {field.mean:.4g}"
    if isinstance(field, CategoricalEncoding):
        known = own.iloc[:, 0].astype(str).isin(field.categories).mean()
        if known < _FEW:
            return "other vocabulary: its values count as not known"
    return ""
