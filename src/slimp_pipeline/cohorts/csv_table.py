"""CSV files as they come: any separator, with or without BOM, plain or gzipped, everything text."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa

_ROWS_PER_CHUNK = 20_000  # rows held as Python objects at a time


def read_csv_table(path: Path, separator: str | None = None) -> pd.DataFrame:
    """Read a CSV file as text, empty cells as "".

    Args:
        path: CSV or CSV.gz in UTF-8; a BOM and CRLF line ends are accepted.
        separator: Field separator; None finds it (comma, semicolon, tab) in the header line. A doubled
            one (PH2's `||`) also frames each line, and may alternate with the single character; lines
            outside the frame are no rows.

    Returns:
        Columns of text; columns without a name and blank rows are left out. The index is the number of
        the line in the file on which a row starts (header = line 1).

    Raises:
        ValueError: If the file is empty, isn't UTF-8, is damaged, repeats a column, or has a row of the
            wrong length; names the file and the line.
    """
    try:
        with _open(path) as file:
            separator = separator or _find_separator(file)
            records = _framed_records(file, separator) if len(separator) > 1 else _records(path, file, separator)
            table = _table(path, records)
    except UnicodeDecodeError as error:
        line = _first_undecodable_line(path)
        raise ValueError(f"{path}, line {line}: not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}). Fetch it again.") from error
    if separator == ";":  # the decimal comma comes with the semicolon
        table = table.apply(lambda column: column.str.replace(r"^(-?\d+),(\d+)$", r"\1.\2", regex=True))
    return table


def _open(path: Path) -> IO[str]:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="")


def _find_separator(file: IO[str]) -> str:
    header = file.readline()
    file.seek(0)
    return max((",", ";", "\t"), key=header.count)


def _records(path: Path, file: IO[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's first line number and its cells."""
    reader, line = csv.reader(file, delimiter=separator, strict=True), 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: {error}. Is a quote not closed or not doubled?") from error


def _framed_records(file: IO[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    cell_ends = re.compile(f"{re.escape(separator)}|{re.escape(separator[0])}")
    for line, text in enumerate(file, start=1):
        if text.strip().startswith(separator):
            yield line, cell_ends.split(text.strip().removesuffix(separator).removeprefix(separator))


def _table(path: Path, records: Iterator[tuple[int, list[str]]]) -> pd.DataFrame:
    filled = ((line, cells) for line, cells in records if any(map(str.strip, cells)))
    names = [name.strip() for name in next(filled, (0, []))[1]]
    if not names:
        raise ValueError(f"{path} is empty: a header line with column names is needed.")
    if repeated := {name for name in names if name and names.count(name) > 1}:
        raise ValueError(f"{path}: the header names {', '.join(sorted(repeated))} more than once. Rename one.")
    kept = [position for position, name in enumerate(names) if name]
    lines: list[int] = []
    chunks = [pa.table({names[i]: pa.array([], pa.large_string()) for i in kept})]
    while chunk := list(islice(filled, _ROWS_PER_CHUNK)):
        for line, cells in chunk:
            if len(cells) != len(names):
                raise ValueError(
                    f"{path}, line {line}: {len(cells)} cells where the header names {len(names)} columns. Is a "
                    "separator inside a field not quoted, or the file cut short?"
                )
            lines.append(line)
        columns = list(zip(*(cells for _, cells in chunk), strict=True))
        chunks.append(pa.table({names[i]: pa.array(columns[i], pa.large_string()) for i in kept}))
    table = pa.concat_tables(chunks).to_pandas().apply(lambda column: column.str.strip())
    return table.set_axis(pd.Index(lines, dtype="int64", name="line"))


def _first_undecodable_line(path: Path) -> int:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode()
            except UnicodeDecodeError:
                return line
    return 0  # unreachable: the text reader met one
