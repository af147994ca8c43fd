"""CSV files as they come: any separator, with or without BOM, plain or gzipped, everything text."""

import csv
import gzip
from pathlib import Path

import pandas as pd


def read_csv_table(path: Path, separator: str | None = None) -> pd.DataFrame:
    """Read a CSV file as text, empty cells as "".

    Args:
        path: CSV or CSV.gz in UTF-8; a BOM and CRLF line ends are accepted.
        separator: Field separator; None finds it (comma, semicolon, tab) in the header line.
            A separator of several characters may also open and close each line (as in PH2).

    Returns:
        Columns of text; the index is the line number in the file (header = line 1).

    Raises:
        ValueError: If the file is empty, isn't UTF-8, repeats a column, or has a row of the wrong length.
    """
    header = _header(path)
    separator = separator or max((",", ";", "\t"), key=header.count)
    framed = len(separator) > 1
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator))] if not framed else None
    if names is not None and (repeated := {name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: the header names {', '.join(sorted(repeated))} more than once. Rename one.")
    try:
        table = pd.read_csv(
            path,
            sep=rf"\s*{separator.replace('|', chr(92) + '|')}\s*" if framed else separator,
            engine="python" if framed else "c",
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
            index_col=False,
        )
    except pd.errors.ParserError as error:
        raise ValueError(f"{path}: {str(error).strip()}. Is a separator inside a field not quoted?") from error
    if framed:  # the outer separators leave an empty column at either end
        table = table.loc[:, [not str(name).startswith("Unnamed") for name in table.columns]]
    table.columns = [str(name).strip() for name in table.columns]
    table = table.fillna("").apply(lambda column: column.str.strip())
    if separator == ";":  # the decimal comma comes with the semicolon
        table = table.apply(lambda column: column.str.replace(r"^(-?\d+),(\d+)$", r"\1.\2", regex=True))
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    return table[(table != "").any(axis=1)]


def _header(path: Path) -> str:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline=None) as file:
            header = file.readline().rstrip("\n")
            for _ in file:  # the whole file must be UTF-8; pandas names no line
                pass
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} isn't UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    if not header:
        raise ValueError(f"{path} is empty: a header line with column names is needed.")
    return header
