"""CSV text as it comes: any usual encoding, any separator, quoted or not, everything text."""

import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO

import pandas as pd

from slimp_pipeline.cohorts.files.text_encoding import find_text_encoding
from slimp_pipeline.cohorts.files.text_table import table_from_rows

_SEPARATORS = (",", ";", "\t", "|")  # the earlier wins a tie
_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n"])"?[\r\n]*', re.IGNORECASE)  # Excel's first line, no row
_QUOTED = re.compile(r'(^|[,;\t|]) *"(?:[^"]|"")*"')
_OPEN_QUOTE = re.compile(r'(^|[,;\t|]) *"')
_CLEARLY_A_ROW = 6  # columns, beyond which lines of a text don't part like rows by chance
_LONGEST_LINE = 10_000_000  # characters
_MOST_HEADER_LINES = 100  # that blank lines and names of several lines may take


def read_csv_text(file: IO[bytes], path: Path, separator: str | None = None) -> pd.DataFrame:
    """Read CSV text, empty cells as "".

    Args:
        file: The bytes, seekable: UTF-8, UTF-16, UTF-32 or Windows-1252; any line ends.
        path: What messages call the file.
        separator: Field separator; None takes it from a first line `sep=;`, or finds it (comma, semicolon,
            tab, pipe) in the header line. A doubled one (PH2's `||`) also frames each line, and may
            alternate with the single character; lines outside the frame are no rows.

    Returns:
        Columns of text; columns without a name and blank rows are left out. The index is the number of
        the line in the file on which a row starts (header = line 1).

    Raises:
        ValueError: If there is no header or no row, the text can't be decoded or has NUL bytes, the header
            repeats a column or is all numbers, or a row has the wrong length; names the file and the line.
    """
    codec, start = find_text_encoding(file, path)
    file.seek(start)
    text = io.TextIOWrapper(file, codec, newline="")
    try:
        return table_from_rows(str(path), _rows(path, text, separator))
    finally:
        text.detach()  # else it would close the file


def _rows(path: Path, text: IO[str], separator: str | None) -> Iterator[tuple[int, list[str]]]:
    lines = _checked_lines(path, text)
    first = next(lines, "")
    declared = _SEPARATOR_LINE.fullmatch(first)
    lines = lines if declared else chain([first], lines)
    if separator is None and declared:
        separator = declared[1]
    if separator is None:
        separator, read = _find_separator(lines)
        lines = chain(read, lines)
    first_line = 2 if declared else 1
    if len(separator) > 1:
        return _framed_rows(lines, first_line, separator)
    return _delimited_rows(path, lines, first_line, separator)


def _checked_lines(path: Path, text: IO[str]) -> Iterator[str]:
    for number, line in enumerate(iter(partial(text.readline, _LONGEST_LINE + 1), ""), start=1):
        if len(line) > _LONGEST_LINE:
            raise ValueError(
                f"{path}, line {number}: longer than {_LONGEST_LINE:,} characters, which no row is. Is it the right "
                "file, and whole?"
            )
        if "\0" in line:
            raise ValueError(
                f"{path}, line {number}: a NUL byte, which no text has. Is the file damaged? Fetch it again."
            )
        yield line


def _find_separator(lines: Iterator[str]) -> tuple[str, list[str]]:
    """Find the separator outside the quotes of the header; also return the lines that this took."""
    read: list[str] = []
    bare = ""
    for line in islice(lines, _MOST_HEADER_LINES):
        read.append(line)
        header = "".join(read).lstrip("\r\n ")
        bare = _QUOTED.sub(r"\1", header)
        if header and not _OPEN_QUOTE.search(bare):
            break
    return max(_SEPARATORS, key=bare.count), read


def _delimited_rows(
    path: Path, lines: Iterator[str], first_line: int, separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's first line number and its cells."""
    blanks_end_cells = separator.isspace()  # elsewhere a blank before a quote is skipped
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=not blanks_end_cells)
    line = first_line
    try:
        for cells in reader:
            after = reader.line_num + first_line
            if after > line + 1 and (cell := _swallowed(cells, separator)):
                raise ValueError(
                    f"{path}, line {line}: a quote opens here and closes in line {after - 1}, so that rows would be "
                    f"one cell (it starts with {cell[:20]!r}). Is a quote not closed or not doubled?"
                )
            yield line, cells
            line = after
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: {error}. Is a quote not closed or not doubled?") from error


def _swallowed(cells: list[str], separator: str) -> str:
    """A cell that holds the end of its row, perhaps whole rows, and the start of another; "" if none does.

    Where a quote opens in a row's cell i and closes in a later row's, the row has its length only if that is cell i
    again: the first line then parts into the cells from i on, the last into those up to i, those between into all. A
    text of several lines may part so by chance, in few columns; there the last line must also start with what looks
    like the row's first cell.
    """
    for position, cell in enumerate(cells):
        lines = [line.split(separator) for line in cell.split("\n")]
        due = [len(cells) - position, *[len(cells)] * (len(lines) - 2), position + 1]
        if len(lines) < 2 or [len(line) for line in lines] != due or not all(line[0].strip() for line in lines[1:]):
            continue
        first = cells[0] if position else lines[0][0]
        if len(cells) > _CLEARLY_A_ROW or all(_shape(line[0]) == _shape(first) for line in lines[1:]):
            return cell
    return ""


def _shape(text: str) -> str:
    """What a text looks like: img_07 and IMG_123 both `a_0`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", text.strip()))


def _framed_rows(lines: Iterator[str], first_line: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    cell_ends = re.compile(f"{re.escape(separator)}|{re.escape(separator[0])}")
    for line, text in enumerate(lines, start=first_line):
        if text.strip().startswith(separator):
            yield line, cell_ends.split(text.strip().removesuffix(separator).removeprefix(separator))
