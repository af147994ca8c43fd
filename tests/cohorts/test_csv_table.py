"""CSV files as hospitals and archives write them."""

import csv
import gzip
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimp_pipeline.cohorts.csv_table import read_csv_table

PH2 = """\
||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Streaks ||    Colors ||
|| IMD003 ||                        ||                  0 ||         0 |               T |       A ||         4 ||
|| IMD405 ||               Melanoma ||                  2 ||         2 |              AT |       P ||   3  4  5 ||

Legend
Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma
"""


def write(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(table: pd.DataFrame) -> list[list[str]]:
    return table.to_numpy().tolist()


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "\ufeffa,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        "a,b\n1,x\n2,y",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        " a , b \n 1 , x \n2,y\n",
        '"a","b"\n"1","x"\n"2","y"\n',
        ",a,b,\n0,1,x,\n1,2,y,\n",
    ],
    ids=["plain", "bom", "crlf", "no_end", "semicolon", "tab", "spaces", "quoted", "unnamed_columns"],
)
def test_every_usual_form_gives_the_same_table(tmp_path: Path, content: str) -> None:
    table = read_csv_table(write(tmp_path, content))
    assert list(table.columns) == ["a", "b"]
    assert cells(table) == [["1", "x"], ["2", "y"]]
    assert table.index.tolist() == [2, 3]
    assert table.index.name == "line"


def test_a_gzipped_file_is_read_as_it_is(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path, gzip.compress("\ufeffa,b\r\n1,2\r\n".encode()), "table.csv.gz"))
    assert cells(table) == [["1", "2"]]


def test_the_decimal_comma_comes_with_the_semicolon(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path, "a;b;c\n1,5;-0,25;left, upper\n"))
    assert cells(table) == [["1.5", "-0.25", "left, upper"]]


def test_without_semicolons_a_quoted_comma_stays(tmp_path: Path) -> None:
    assert cells(read_csv_table(write(tmp_path, 'a,b\n"1,5",2\n'))) == [["1,5", "2"]]


def test_quotes_hold_separators_and_doubled_quotes(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path, 'a,b\n"Squamous, Invasive","so-called ""mole"""\n'))
    assert cells(table) == [["Squamous, Invasive", 'so-called "mole"']]


def test_words_for_missing_stay_text(tmp_path: Path) -> None:
    assert cells(read_csv_table(write(tmp_path, "a,b,c\nNA,nan,\n"))) == [["NA", "nan", ""]]


def test_leading_zeros_and_long_numbers_stay_text(tmp_path: Path) -> None:
    assert cells(read_csv_table(write(tmp_path, "a,b\n007,12345678901234567890\n"))) == [
        ["007", "12345678901234567890"]
    ]


def test_the_index_is_the_line_in_the_file_despite_blank_lines_and_lines_within_cells(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path, 'a,b\n\n1,x\n,\n   \n2,"two\nlines"\n3,y\n'))
    assert table["a"].to_dict() == {3: "1", 6: "2", 8: "3"}


def test_a_given_separator_wins_over_the_header(tmp_path: Path) -> None:
    assert list(read_csv_table(write(tmp_path, "a,b;c\n1;2\n"), separator=";").columns) == ["a,b", "c"]


def test_a_file_with_a_header_only_has_columns_and_no_row(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path, "a,b\n"))
    assert (list(table.columns), len(table)) == (["a", "b"], 0)


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", "\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValueError, match=r"table.csv is empty"):
        read_csv_table(write(tmp_path, content))


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table.csv: the header names age more than once"):
        read_csv_table(write(tmp_path, "age,sex,age\n1,2,3\n"))


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = "".join(f"{i},leg\n" for i in range(5000)).encode()
    with pytest.raises(ValueError, match=r"table.csv, line 5002: not UTF-8"):
        read_csv_table(write(tmp_path, b"a,b\n" + rows + "1,nævus\n".encode("latin-1")))


def test_a_utf16_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not UTF-8"):
        read_csv_table(write(tmp_path, "a,b\n1,2\n".encode("utf-16")))


@pytest.mark.parametrize(
    ("content", "line", "num_cells"),
    [
        ("a,b\n1,2\n\n3,4,5\n", 4, 3),
        ("a,b\n1,2,3\n4,5\n", 2, 3),
        ("a,b\n1,2\n3\n", 3, 1),
        ('a,b\n"1\n2",3\n4,5,6\n', 4, 3),
    ],
)
def test_a_row_of_the_wrong_length_is_refused_with_file_and_line(
    tmp_path: Path, content: str, line: int, num_cells: int
) -> None:
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: {num_cells} cells .* 2 columns"):
        read_csv_table(write(tmp_path, content))


def test_a_quote_that_is_not_closed_is_refused_with_the_line_where_it_opens(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table.csv, line 3: .*quote"):
        read_csv_table(write(tmp_path, 'a,b\n1,2\n"3,4\n5,6\n'))


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-12], lambda raw: b"no gzip " + raw, lambda raw: raw[:20] + raw[28:]]
)
def test_a_damaged_gzip_file_is_refused_by_name(tmp_path: Path, damage: object) -> None:
    raw = gzip.compress("".join(["a,b\n", *(f"{i},{i * i}\n" for i in range(500))]).encode())
    with pytest.raises(ValueError, match=r"table.csv.gz is damaged"):
        read_csv_table(write(tmp_path, damage(raw), "table.csv.gz"))  # type: ignore[operator]


def test_a_framed_table_is_read_and_its_legend_is_not(tmp_path: Path) -> None:
    table = read_csv_table(write(tmp_path, PH2, "PH2_dataset.txt"), separator="||")
    names = ["Name", "Histological Diagnosis", "Clinical Diagnosis", "Asymmetry", "Pigment Network", "Streaks"]
    assert list(table.columns) == [*names, "Colors"]
    assert cells(table) == [
        ["IMD003", "", "0", "0", "T", "A", "4"],
        ["IMD405", "Melanoma", "2", "2", "AT", "P", "3  4  5"],
    ]
    assert table.index.tolist() == [2, 3]


def test_an_empty_cell_of_a_framed_table_shifts_none(tmp_path: Path) -> None:
    assert cells(read_csv_table(write(tmp_path, "||a||b||c|d||\n||1||||2|||\n"), separator="||")) == [
        ["1", "", "2", ""]
    ]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6).map(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=8), separator=st.sampled_from([",", "\t"]))
def test_what_a_csv_writer_wrote_is_read_back(tmp_path: Path, rows: list[tuple[str, ...]], separator: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator).writerows([("a", "b", "c"), *rows])
    path = write(tmp_path, buffer.getvalue())
    assert cells(read_csv_table(path)) == [list(row) for row in rows if any(row)]
