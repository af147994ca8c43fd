"""Parquet files, read by `read_table`."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimp_pipeline.cohorts.files.table_file import read_table


def write(folder: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), folder / "lesions.parquet")
    return folder / "lesions.parquet"


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([" arm", "007", None, "NA"], pa.string(), ["arm", "007", "", "NA"]),
        (["arm", None], pa.large_string(), ["arm", ""]),
        (["arm", None], pa.string_view(), ["arm", ""]),
        (["Rücken".encode(), None], pa.binary(), ["Rücken", ""]),
        (["arm", "leg", None, "arm"], pa.dictionary(pa.int8(), pa.string()), ["arm", "leg", "", "arm"]),
        ([5, None, 5], pa.dictionary(pa.int8(), pa.int64()), ["5", "", "5"]),
        ([True, False, None], pa.bool_(), ["True", "False", ""]),
        ([1, -2, None], pa.int32(), ["1", "-2", ""]),
        ([2**63 - 1], pa.int64(), ["9223372036854775807"]),
        ([1.0, 0.1, None, float("nan"), 1e20], pa.float64(), ["1.0", "0.1", "", "", "1e+20"]),
        ([1.0, 0.1, None], pa.float32(), ["1.0", "0.1", ""]),
        ([Decimal("1.50"), None], pa.decimal128(5, 2), ["1.50", ""]),
        ([date(2024, 2, 29), None], pa.date32(), ["2024-02-29", ""]),
        (
            [datetime(2024, 2, 29), datetime(2024, 2, 29, 13, 5)],
            pa.timestamp("ns"),
            ["2024-02-29", "2024-02-29T13:05:00"],
        ),
        ([datetime(2024, 2, 29, tzinfo=UTC)], pa.timestamp("us", "UTC"), ["2024-02-29T00:00:00+00:00"]),
        ([timedelta(hours=30)], pa.duration("s"), ["P1DT6H0M0S"]),
        ([None], pa.null(), [""]),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_values_of_every_kind_read_as_text(
    tmp_path: Path, values: list[object], kind: pa.DataType, texts: list[str]
) -> None:
    ids = pa.array([f"i{row}" for row in range(len(values))])
    table = read_table(write(tmp_path, id=ids, value=pa.array(values, kind)))
    assert table["value"].tolist() == texts
    assert str(table["value"].dtype) == "str"


def test_the_index_is_the_line_as_if_there_were_a_header_line_and_blank_rows_are_left_out(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, id=pa.array(["i1", None, "i3"]), site=pa.array(["arm", " ", None])))
    assert table.to_dict("index") == {2: {"id": "i1", "site": "arm"}, 4: {"id": "i3", "site": ""}}
    assert (table.index.name, table.index.dtype) == ("line", "int64")


def test_what_pandas_wrote_is_read_with_categories_dates_and_missing_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["i1", "i2"], "site": pd.Categorical(["arm", None]), "age": [50, None]})
    frame.assign(seen=pd.to_datetime(["2024-02-29", None])).to_parquet(tmp_path / "lesions.parquet")
    table = read_table(tmp_path / "lesions.parquet")
    assert table.to_numpy().tolist() == [["i1", "arm", "50.0", "2024-02-29"], ["i2", "", "", ""]]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([[1, 2]], pa.list_(pa.int64()), r"column 'value': list<.*Flatten it"),
        ([{"a": 1}], pa.struct({"a": pa.int64()}), r"column 'value': struct<.*Flatten it"),
        ([[("a", 1)]], pa.map_(pa.string(), pa.int64()), r"column 'value': map<.*Flatten it"),
        ([b"\xff\xd8"], pa.binary(), r"column 'value': its bytes are no UTF-8 text"),
    ],
)
def test_a_column_that_is_no_text_is_refused_by_name(
    tmp_path: Path, values: list[object], kind: pa.DataType, message: str
) -> None:
    with pytest.raises(ValueError, match=r"lesions\.parquet, " + message):
        read_table(write(tmp_path, id=pa.array(["i1"]), value=pa.array(values, kind)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({}), "is empty"),
        (pa.table({"": ["x"]}), "is empty"),
        (pa.table({"a": pa.array([], pa.string())}), "has a header and no rows"),
        (pa.table({"a": ["", None]}), "has a header and no rows"),
        (pa.table([["1"], ["2"]], names=["a", " a"]), "the header names a more than once"),
        (pa.table({"0": ["x"], "1": ["y"]}), r"numbers \(0, 1\): is the header line missing\?"),
    ],
)
def test_a_parquet_file_that_is_no_table_is_refused(tmp_path: Path, table: pa.Table, message: str) -> None:
    pq.write_table(table, tmp_path / "lesions.parquet")
    with pytest.raises(ValueError, match=r"lesions\.parquet.* " + message):
        read_table(tmp_path / "lesions.parquet")


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-20], lambda raw: raw[:30], lambda raw: raw[:4] + b"\x15" + raw[50:]]
)
def test_a_damaged_parquet_file_is_refused_by_name(tmp_path: Path, damage: object) -> None:
    path = write(tmp_path, id=pa.array([f"i{row}" for row in range(100)]))
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"lesions\.parquet is a damaged Parquet file .*Fetch it again"):
        read_table(path)


def test_a_name_of_a_column_that_is_no_text_is_refused_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "lesions.parquet"
    pq.write_table(pa.table({"diagnosis": ["MEL"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"diagnosis", b"d\xd9agnosis"))
    with pytest.raises(ValueError, match=r"lesions\.parquet is a damaged Parquet file .*Fetch it again"):
        read_table(path)


def test_a_csv_header_that_begins_like_parquet_is_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "par.csv").write_text("PAR1,PAR2\n1,2\n")
    assert list(read_table(tmp_path / "par.csv").columns) == ["PAR1", "PAR2"]


def test_dates_that_no_calendar_reaches_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, id=pa.array(["a"]), seen=pa.array([10**18], pa.timestamp("us")))
    with pytest.raises(ValueError, match="column 'seen': a date outside the years 1 to 9999"):
        read_table(path)


@pytest.mark.parametrize(
    "rows",
    [
        pa.DictionaryArray.from_arrays(np.zeros(8_000, np.int32), ["x" * 100_000]),
        pa.nulls(20_000_000),
        pa.DictionaryArray.from_arrays(np.zeros(20_000_000, np.int32), ["x"]),
    ],
    ids=["long", "empty", "short"],
)
def test_what_stands_once_for_very_many_rows_is_refused_before_it_fills_the_memory(tmp_path, rows) -> None:
    path = write(tmp_path, image=rows)
    assert path.stat().st_size < 120_000
    with pytest.raises(ValueError, match=r"lesions\.parquet unpacks to 0\.[12] GiB or more from"):
        read_table(path)


def test_a_file_without_rows_says_so(tmp_path) -> None:
    with pytest.raises(ValueError, match="no rows"):
        read_table(write(tmp_path, image=pa.array([], pa.string())))
