"""Rows of text to a table: names checked, blank rows left out, the line of each row kept as the index."""

import re
from array import array
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from slimp_pipeline.cohorts.text import as_meant

_ROWS_PER_CHUNK = 20_000  # rows held as Python objects at a time
_MOST_EXACT = 2.0**53  # from here on, floats skip whole numbers
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)


def table_from_rows(name: str, rows: Iterator[tuple[int, list[str]]]) -> pd.DataFrame:
    """Build a table of text from rows, the first of them that isn't blank the header.

    Args:
        name: What messages call the table: its path, and in a workbook its sheet.
        rows: Line number and cells of each row.

    Returns:
        Columns of text without blanks around it; columns without a name and blank rows are left out. The
        index, `line`, is the line number.

    Raises:
        ValueError: If there is no header or no row, the header repeats a name or is all numbers, or a row
            has another length than the header; names the line.
    """
    filled = ((line, cells) for line, cells in rows if any(map(str.strip, cells)))
    names = [as_meant(cell) for cell in next(filled, (0, []))[1]]
    kept = named_columns(name, names)
    lines = array("q")  # a list would take five times the memory
    chunks = []
    while chunk := list(islice(filled, _ROWS_PER_CHUNK)):
        for line, cells in chunk:
            if len(cells) != len(names):
                raise ValueError(
                    f"{name}, line {line}: {len(cells)} cells where the header names {len(names)} columns. Is a "
                    "separator inside a field not quoted, or the file cut short? If the header doesn't show what parts "
                    "the cells, set `separator` of the table."
                )
            lines.append(line)
        columns = list(zip(*(cells for _, cells in chunk), strict=True))
        texts = {names[i]: pa.array(columns[i], pa.large_string()) for i in kept}
        chunks.append(pa.table({column: pc.utf8_trim_whitespace(cells) for column, cells in texts.items()}))
    check_has_rows(name, len(lines))
    return pa.concat_tables(chunks).to_pandas().set_axis(pd.Index(lines, dtype="int64", name="line"))


def named_columns(name: str, names: Sequence[str]) -> list[int]:
    """Positions of the columns with a name; ValueError if there are none, or the names can't be meant."""
    named = [position for position, column in enumerate(names) if column]
    if not named:
        raise ValueError(f"{name} is empty: a header line with column names is needed.")
    if repeated := {column for column in names if column and names.count(column) > 1}:
        raise ValueError(f"{name}: the header names {', '.join(sorted(repeated))} more than once. Rename one.")
    if all(_NUMBER.fullmatch(names[position]) for position in named):
        shown = ", ".join(names[position] for position in named[:5])
        raise ValueError(
            f"{name}: the column names are numbers ({shown}): is the header line missing? "
            "Write the names of the columns into the first line."
        )
    return named


def check_has_rows(name: str, num_rows: int) -> None:
    """Raise ValueError if there are none."""
    if not num_rows:
        raise ValueError(
            f"{name} has a header and no rows. Was it exported without data, or cut short? Fetch it again."
        )


def text_of(value: object) -> str:
    """Text of a spreadsheet's value: whole numbers without `.0`, dates in ISO 8601, missing as ""."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < _MOST_EXACT:
        return str(int(value))
    if isinstance(value, datetime) and value.tzinfo is None and value.time() == time():
        return value.date().isoformat()  # a date: spreadsheets and pandas write it as midnight
    if isinstance(value, date | time):
        return value.isoformat()
    return pd.Timedelta(value).isoformat() if isinstance(value, timedelta) else str(value)
