"""CSV text whose cells no spreadsheet takes for formulas."""

import csv
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # how formulas start; apostrophes before that would get lost
_GUARDED = re.compile("'" + _FORMULA.pattern)


def csv_text(frame: pd.DataFrame, **options: Any) -> str:
    """Write a table as CSV, its texts guarded; without the index, which isn't guarded.

    Args:
        frame: Any table.
        options: Of `DataFrame.to_csv`.
    """
    guarded, options = guard_formulas(frame), {"index": False} | options
    text = guarded.to_csv(**options)
    if "\r" in text:  # pandas quotes cells with a line feed, but not those with a carriage return
        text = guarded.to_csv(**{"quoting": csv.QUOTE_NONNUMERIC} | options)
    return str(text)


def guard_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would take for formulas; numbers stay as they are.

    Texts that have apostrophes before such a sign get one more, so that `unguard_formulas` gives back any text.

    Returns:
        A copy, whose column names are guarded too.
    """
    return _with_texts(frame, lambda text: f"'{text}" if _FORMULA.match(text) else text)


def unguard_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Take away the apostrophes that `guard_formulas` put there."""
    return _with_texts(frame, lambda text: text[1:] if _GUARDED.match(text) else text)


def _with_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    copy = frame.copy()
    for position, dtype in enumerate(frame.dtypes):
        texts = frame.iloc[:, position]
        if isinstance(dtype, pd.CategoricalDtype):
            copy.isetitem(position, texts.cat.rename_categories(changed))
        elif pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype):
            copy.isetitem(position, texts.map(changed).astype(dtype))
    copy.columns = [changed(name) for name in frame.columns]
    return copy
