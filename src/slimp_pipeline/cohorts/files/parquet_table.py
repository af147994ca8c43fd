"""Parquet files, everything text."""

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slimp_pipeline.cohorts.files.text_table import check_has_rows, named_columns, text_of
from slimp_pipeline.cohorts.files.unpacked_size import check_unpacked_size
from slimp_pipeline.cohorts.text import as_meant

_ROWS_AT_ONCE = 1024
_BYTES_PER_TEXT = 8  # at least
_FIRST_LINE = 2  # as if there were a header line


def read_parquet_table(file: IO[bytes], path: Path) -> pd.DataFrame:
    """Read a Parquet file as text, missing values as "".

    Args:
        file: The bytes, seekable.
        path: What messages call the file.

    Returns:
        Columns of text; columns without a name and blank rows are left out. The index, `line`, is the
        number of the row (from 0) plus 2. Floats keep their `.0`; dates are in ISO 8601.

    Raises:
        ValueError: If the file is damaged, has no rows, repeats a column, or a column holds what has no
            text (lists, structs, bytes); names the column.
    """
    try:
        table = _read(file, path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of names of columns
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is a damaged Parquet file ({reason}). Fetch it again.") from error
    names = [as_meant(column) for column in table.column_names]
    kept = named_columns(str(path), names)
    check_has_rows(str(path), table.num_rows)
    columns = {names[i]: _text(f"{path}, column '{names[i]}'", table.column(i)) for i in kept}
    frame = pa.table(columns).to_pandas().apply(lambda column: column.str.strip())
    frame.index = pd.RangeIndex(_FIRST_LINE, _FIRST_LINE + len(frame))
    frame = frame[frame.ne("").any(axis=1)]
    check_has_rows(str(path), len(frame))
    return frame.set_axis(pd.Index(frame.index, dtype="int64", name="line"))


def _read(file: IO[bytes], path: Path) -> pa.Table:
    """Read a few rows at a time: a value that stands once in the file may be that of a billion rows."""
    packed_bytes = file.seek(0, 2)
    file.seek(0)
    parquet = pq.ParquetFile(file)
    num_bytes, parts = 0, [parquet.schema_arrow.empty_table()]
    for batch in parquet.iter_batches(_ROWS_AT_ONCE):
        columns = [_spelt_out(column) for column in batch.columns]
        num_bytes += sum(max(column.nbytes, _BYTES_PER_TEXT * len(column)) for column in columns)
        check_unpacked_size(path, num_bytes, packed_bytes)
        parts.append(pa.Table.from_arrays(columns, batch.schema.names))
    return pa.concat_tables(parts[1:] or parts)


def _spelt_out(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.if_else(column, "True", "False")
    elif pa.types.is_floating(kind):  # NumPy writes the fewest digits, also of single precision
        column = pa.array(["" if np.isnan(value) else str(value) for value in column.to_numpy()], pa.large_string())
    elif _is_temporal(kind):
        try:
            column = pa.array([text_of(value) for value in column.to_pylist()], pa.large_string())
        except (OverflowError, ValueError) as error:
            raise ValueError(
                f"{name}: a date outside the years 1 to 9999. Correct it, or leave the column out."
            ) from error
    elif not (pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind) or _is_text(kind)):
        raise ValueError(f"{name}: {kind} can't be read as text. Flatten it into plain columns, or leave it out.")
    try:
        return column.cast(pa.large_string()).fill_null("")
    except pa.ArrowInvalid as error:
        raise ValueError(f"{name}: its bytes are no UTF-8 text. Write it as text, or leave it out.") from error


def _is_temporal(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind) for is_kind in (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration)
    )


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())
