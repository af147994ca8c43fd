"""What of a target's metadata the source's encoders can read: fields are found by name alone."""

import logging

import pandas as pd

from slimp_pipeline.tables.encoding import UNSEEN, CategoricalEncoding, CheckboxEncoding, Encoding, NumericEncoding

logger = logging.getLogger(__name__)
FIELDS_READ_COLUMNS = ["field", "level", "read", "doubt"]
_FAR_APART = 4.0  # standard deviations between the target's median and the source's mean: probably other units
_FEW = 0.05  # share of a field's known values whose category the source had


def fields_read(encoding: Encoding, rows: pd.DataFrame) -> pd.DataFrame:
    """Tell which of the source's fields a target has, and which of them bear the same name and yet differ.

    Args:
        encoding: Of the source.
        rows: Target rows.

    Returns:
        `FIELDS_READ_COLUMNS`, a row per field of the source: whether the target knows any value of it, and what is
        doubtful, empty where nothing is. Values that the encoder doesn't know count as not known; numbers far from
        the source's are read, and doubtful.
    """
    lines = []
    for level_name, level in encoding.levels.items():
        for name, field in level.fields.items():
            columns = [column for column in level.columns(name) if column in rows]
            own = rows[columns].dropna(how="all")
            lines.append([name, level_name, not own.empty, "" if own.empty else _difference(field, own)])
    return pd.DataFrame(lines, columns=FIELDS_READ_COLUMNS)


def log_fields_read(table: pd.DataFrame) -> None:
    """Say what the source's metadata encoders read of a target, and what is doubtful."""
    names = table.loc[table["read"], "field"]
    logger.info("Of the source's %d fields the target has %d: %s", len(table), len(names), ", ".join(names) or "none")
    for row in table[table["doubt"] != ""].itertuples():
        logger.warning("  %s: %s", row.field, row.doubt)


def _difference(field: NumericEncoding | CategoricalEncoding | CheckboxEncoding, own: pd.DataFrame) -> str:
    if isinstance(field, NumericEncoding):
        values = pd.to_numeric(own.iloc[:, 0].astype(str), errors="coerce").dropna()
        if values.empty:
            return "its values are no numbers"
        if abs(values.median() - field.mean) > _FAR_APART * field.std:
            return f"other units? median {values.median():.4g}, the source's mean {field.mean:.4g}"
    if isinstance(field, CategoricalEncoding):
        known = field.codes(str(own.columns[0]), own.iloc[:, 0]) > UNSEEN
        if known.mean() < _FEW:
            return "other vocabulary: its values count as not known"
    return ""
