"""Sheets of Excel workbooks, everything text."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pandas as pd
from openpyxl import load_workbook  # type: ignore[import-untyped]
from openpyxl.utils.escape import unescape  # type: ignore[import-untyped]

from slimp_pipeline.cohorts.files.text_table import table_from_rows, text_of

_FORMULA = re.compile(rb"<(\w+:)?f[ >]")
_CHUNK_BYTES = 2**20


def read_excel_table(file: IO[bytes], path: Path, sheet: str | None = None) -> pd.DataFrame:
    """Read a sheet of an .xlsx or .xlsm workbook as text, empty cells as "".

    Args:
        file: The bytes, seekable.
        path: What messages call the file.
        sheet: Name of the sheet; None takes the only one that has cells.

    Returns:
        Columns of text; the first row that isn't blank is the header; columns without a name and blank
        rows are left out. The index, `line`, is the row of the sheet. Whole numbers have no `.0`; dates are
        in ISO 8601.

    Raises:
        ValueError: If the workbook is damaged, the sheet isn't there or not the only one, has no header or no
            row, repeats a column, or has a formula whose result isn't stored.
    """
    workbook = _open(file, path, formulas=False)
    title = _sheet_title(workbook, path, sheet)
    if _has_formulas(file):
        rows = _evaluated_rows(workbook, _open(file, path, formulas=True), path, title)
    else:
        rows = _text_rows(workbook, path, title)
    return table_from_rows(f"{path}, sheet '{title}'", _as_wide_as_header(rows))


def _open(file: IO[bytes], path: Path, *, formulas: bool) -> Any:
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # styles and drawings that it can't read don't matter
            workbook = load_workbook(file, read_only=True, data_only=not formulas)
    except Exception as error:  # openpyxl raises whatever it stumbles over
        raise _damaged(path, error) from error
    for worksheet in workbook.worksheets:
        worksheet.reset_dimensions()  # some programs write them wrong, and rows would be cut
    return workbook


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is a damaged Excel workbook ({type(error).__name__}: {error}). Fetch it again, or save it as CSV."
    )


def _sheet_title(workbook: Any, path: Path, sheet: str | None) -> str:
    titles = [worksheet.title for worksheet in workbook.worksheets]
    if sheet is not None:
        if sheet not in titles:
            raise ValueError(f"{path} has no sheet '{sheet}'. Its sheets: {', '.join(titles)}")
        return sheet
    filled = [title for title in titles if any(any(cells) for _, cells in _text_rows(workbook, path, title))]
    if not filled:
        raise ValueError(f"{path} is empty: a header row with column names is needed.")
    if len(filled) > 1:
        raise ValueError(f"{path} has several sheets: {', '.join(filled)}. Set `sheet` to the one that is meant.")
    return filled[0]


def _sheet_rows(workbook: Any, path: Path, title: str, *, values_only: bool) -> Iterator[tuple[Any, ...]]:
    try:
        yield from workbook[title].iter_rows(values_only=values_only)
    except Exception as error:  # as in `_open`
        raise _damaged(path, error) from error


def _text_rows(workbook: Any, path: Path, title: str) -> Iterator[tuple[int, list[str]]]:
    for number, values in enumerate(_sheet_rows(workbook, path, title, values_only=True), start=1):
        yield number, [_cell_text(value) for value in values]


def _cell_text(value: object) -> str:
    """A cell's text; line breaks and the like stand in the file as `_x000D_`."""
    return unescape(text_of(value)).strip()


def _as_wide_as_header(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Fill rows up to the header, and leave out what stands beside it: a sheet has rows of any width."""
    filled = ((number, cells) for number, cells in rows if any(cells))
    header = next(filled, None)
    if header is not None:
        width = len(header[1])
        for number, cells in chain([header], filled):
            yield number, cells[:width] + [""] * (width - len(cells))


def _has_formulas(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as archive:
        for part in archive.namelist():
            if part.startswith("xl/worksheets/") and part.endswith(".xml"):
                with archive.open(part) as xml:
                    last = b""
                    while chunk := xml.read(_CHUNK_BYTES):
                        if _FORMULA.search(last + chunk):
                            return True
                        last = chunk[-20:]
    return False


def _evaluated_rows(workbook: Any, formulas: Any, path: Path, title: str) -> Iterator[tuple[int, list[str]]]:
    """Yield rows as `_text_rows`, but refuse a formula whose result isn't stored: it would read as an empty cell."""
    rows = zip(
        _sheet_rows(workbook, path, title, values_only=False),
        _sheet_rows(formulas, path, title, values_only=False),
        strict=True,
    )
    for number, (results, sources) in enumerate(rows, start=1):
        for result, source in zip(results, sources, strict=True):
            if source.data_type == "f" and result.value is None and result.data_type == "n":  # "str": an empty text
                raise ValueError(
                    f"{path}, sheet '{title}', cell {source.coordinate}: the formula's result isn't stored. "
                    "Open the workbook in a spreadsheet program, save it, and try again."
                )
        yield number, [_cell_text(result.value) for result in results]
