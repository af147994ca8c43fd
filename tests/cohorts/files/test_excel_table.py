"""Sheets of Excel workbooks, read by `read_table`."""

import re
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from slimp_pipeline.cohorts.files.table_file import read_table

Rows = list[list[Any]]


def write(folder: Path, name: str = "clinic.xlsx", **sheets: Rows) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
    workbook.save(folder / name)
    return folder / name


def rewrite(path: Path, part: str, pattern: str, replacement: str) -> None:
    """Replace text in a part of the workbook, as another program would have written it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = re.sub(pattern.encode(), replacement.encode(), parts[part])
    assert changed != parts[part]
    parts[part] = changed
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("  Rücken ", "Rücken"),
        ("007", "007"),
        (12, "12"),
        (12.0, "12"),
        (-0.25, "-0.25"),
        (2.3, "2.3"),
        (123456789012345, "123456789012345"),
        (1e300, "1e+300"),
        (True, "True"),
        (False, "False"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 13, 5), "2024-02-29T13:05:00"),
        (time(13, 5), "13:05:00"),
        (timedelta(hours=30), "P1DT6H0M0S"),
        ("#N/A", "#N/A"),
    ],
)
def test_a_cell_reads_as_the_text_that_it_means(tmp_path: Path, value: object, text: str) -> None:
    assert read_table(write(tmp_path, s=[["id", "value"], ["i1", value]]))["value"].tolist() == [text]


def test_a_whole_number_that_is_stored_as_a_float_has_no_fraction(tmp_path: Path) -> None:
    path = write(tmp_path, s=[["id", "age"], ["i1", 12]])
    rewrite(path, "xl/worksheets/sheet1.xml", "<v>12</v>", "<v>12.0</v>")
    assert read_table(path)["age"].tolist() == ["12"]


def test_blank_rows_and_columns_without_a_header_are_left_out_and_the_index_is_the_row(tmp_path: Path) -> None:
    rows = [[], [None, " "], [None, " id ", None, "site"], [], ["?", "i1", "?", "arm", "?"], [None, "i2"], [None, " "]]
    table = read_table(write(tmp_path, s=rows))
    assert list(table.columns) == ["id", "site"]
    assert table.to_dict("index") == {5: {"id": "i1", "site": "arm"}, 6: {"id": "i2", "site": ""}}
    assert (table.index.name, table.index.dtype) == ("line", "int64")
    assert {str(dtype) for dtype in table.dtypes} == {"str"}


def test_the_only_sheet_with_cells_needs_no_name(tmp_path: Path) -> None:
    path = write(tmp_path, empty=[], Lesions=[["id"], ["i1"]], blank=[[" "]])
    assert read_table(path)["id"].tolist() == ["i1"]


def test_one_of_several_sheets_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, Lesions=[["id"], ["i1"]], Codes=[["code"], ["c1"]], empty=[])
    assert read_table(path, sheet="Codes")["code"].tolist() == ["c1"]
    with pytest.raises(ValueError, match=r"clinic\.xlsx has several sheets: Lesions, Codes\. Set `sheet`"):
        read_table(path)
    with pytest.raises(ValueError, match=r"clinic\.xlsx has no sheet 'Code'\. Its sheets: Lesions, Codes, empty"):
        read_table(path, sheet="Code")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"clinic\.xlsx is empty"),
        ([["a", "b"]], r"clinic\.xlsx, sheet 's' has a header and no rows"),
        ([["a", "b", "a"], [1, 2, 3]], r"clinic\.xlsx, sheet 's': the header names a more than once"),
        ([[1, 2.5], [3, 4]], r"clinic\.xlsx, sheet 's': .* numbers \(1, 2\.5\): is the header line missing\?"),
    ],
)
def test_a_sheet_that_is_no_table_is_refused(tmp_path: Path, rows: Rows, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, s=rows))


def test_a_chosen_sheet_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sheet 'empty' is empty"):
        read_table(write(tmp_path, s=[["a"], [1]], empty=[]), sheet="empty")


def test_a_size_that_the_sheet_states_wrongly_cuts_no_row(tmp_path: Path) -> None:
    path = write(tmp_path, s=[["a", "b"], [1, 2]])
    rewrite(path, "xl/worksheets/sheet1.xml", 'dimension ref="A1:B2"', 'dimension ref="A1"')
    assert read_table(path).to_numpy().tolist() == [["1", "2"]]


def test_a_formula_reads_as_its_stored_result(tmp_path: Path) -> None:
    path = write(tmp_path, s=[["id", "size"], ["i1", 4], ["i2", "=B2*2"]])
    rewrite(path, "xl/worksheets/sheet1.xml", "</f><v ?(/>|></v>)", "</f><v>8</v>")
    assert read_table(path)["size"].tolist() == ["4", "8"]


def test_a_formula_without_a_stored_result_is_refused_with_its_cell(tmp_path: Path) -> None:
    path = write(tmp_path, s=[["id", "size"], ["i1", 4], ["i2", "=B2*2"]])
    with pytest.raises(ValueError, match=r"clinic\.xlsx, sheet 's', cell B3: the formula's result isn't stored"):
        read_table(path)


def test_a_formula_whose_result_is_an_empty_text_reads_as_empty(tmp_path: Path) -> None:
    path = write(tmp_path, s=[["id", "size"], ["i1", '=""']])
    rewrite(path, "xl/worksheets/sheet1.xml", 'r="B2"', 'r="B2" t="str"')
    assert read_table(path)["size"].tolist() == [""]


def test_a_macro_workbook_under_another_suffix_is_read(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "clinic.csv", s=[["id"], ["i1"]]))["id"].tolist() == ["i1"]
    assert read_table(write(tmp_path, "clinic.xlsm", s=[["id"], ["i1"]]))["id"].tolist() == ["i1"]


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml"])
def test_a_damaged_workbook_is_refused_by_name(tmp_path: Path, part: str) -> None:
    path = write(tmp_path, s=[["id"], ["i1"]])
    rewrite(path, part, "(?s)^(.{60}).*", r"\1")
    with pytest.raises(ValueError, match=r"clinic\.xlsx is a damaged Excel workbook .*Fetch it again"):
        read_table(path)


@pytest.mark.parametrize("num_bytes", [100, 2000])
def test_a_workbook_that_is_cut_short_is_refused_by_name(tmp_path: Path, num_bytes: int) -> None:
    path = write(tmp_path, s=[["id"], ["i1"]])
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(ValueError, match=r"clinic\.xlsx is damaged"):
        read_table(path)


@pytest.mark.parametrize(
    ("stored", "text"), [("melanoma_x000D_\n", "melanoma"), ("a_x0009_b", "a\tb"), ("a_x005F_x000D_", "a_x000D_")]
)
def test_line_breaks_that_the_file_spells_out_are_read_as_meant(tmp_path: Path, stored: str, text: str) -> None:
    path = write(tmp_path, cells=[["id", "dx"], ["1", "placeholder"]])
    rewrite(path, "xl/worksheets/sheet1.xml", "placeholder", stored)
    assert read_table(path)["dx"].tolist() == [text]


def test_a_sheet_is_named_of_workbooks_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,dx\n1,nevus\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.csv is no Excel workbook, and has no sheet 'Tabelle1'. Leave `sheet` out"):
        read_table(tmp_path / "a.csv", sheet="Tabelle1")


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, cases=[["image"], ["a"]])
    laughs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{laughs}]><worksheet'
    rewrite(path, "xl/worksheets/sheet1.xml", r"^.*?<worksheet", bomb)
    rewrite(path, "xl/worksheets/sheet1.xml", "<t>image</t>", "<t>&e9;</t>")
    with pytest.raises(ValueError, match="is a damaged Excel workbook"):
        read_table(path)
