"""CSV text as hospitals and archives write it."""

import csv
import io
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.cohorts.files.csv_table import read_csv_text
from slimp_pipeline.cohorts.files.table_file import read_table

PH2 = """\
||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Streaks ||    Colors ||
|| IMD003 ||                        ||                  0 ||         0 |               T |       A ||         4 ||
|| IMD405 ||               Melanoma ||                  2 ||         2 |              AT |       P ||   3  4  5 ||

Legend
Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma
"""


def read(content: str | bytes, separator: str | None = None) -> pd.DataFrame:
    raw = content.encode() if isinstance(content, str) else content
    return read_csv_text(io.BytesIO(raw), Path("table.csv"), separator)


def cells(table: pd.DataFrame) -> list[list[str]]:
    return table.to_numpy().tolist()


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "\ufeffa,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        "a,b\r1,x\r2,y\r",
        "a,b\n1,x\n2,y",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        "a|b\n1|x\n2|y\n",
        " a , b \n 1 , x \n2,y\n",
        '"a","b"\n"1","x"\n"2","y"\n',
        '"a", "b"\n"1", "x"\n"2", "y"\n',
        ",a,b,\n0,1,x,\n1,2,y,\n",
    ],
    ids=[
        "plain",
        "bom",
        "crlf",
        "cr",
        "no_end",
        "semicolon",
        "tab",
        "pipe",
        "spaces",
        "quoted",
        "quoted_after_a_blank",
        "unnamed_columns",
    ],
)
def test_every_usual_form_gives_the_same_table(content: str) -> None:
    table = read(content)
    assert list(table.columns) == ["a", "b"]
    assert cells(table) == [["1", "x"], ["2", "y"]]
    assert table.index.tolist() == [2, 3]
    assert table.index.name == "line"
    assert all(isinstance(dtype, pd.StringDtype) for dtype in table.dtypes)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_blank_lines_before_the_header_are_no_header(ends: str) -> None:
    table = read(ends.join(["", "  ", ";;", "a;b;c", "1;2;3", ""]))
    assert (list(table.columns), table.index.tolist()) == (["a", "b", "c"], [5])


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ('"size, in mm",age', ["size, in mm", "age"]),
        ('"size; in mm; longest";age', ["size; in mm; longest", "age"]),
        ('"a ""b"", c, d";age', ['a "b", c, d', "age"]),
        ('id\t"size, width, height"', ["id", "size, width, height"]),
        ("age (years, rounded);sex;site", ["age (years, rounded)", "sex", "site"]),
        ('"size\n(mm, longest)";age', ["size\n(mm, longest)", "age"]),
        ('size 5";age', ['size 5"', "age"]),
    ],
)
def test_the_separator_is_found_outside_the_quotes_of_the_header(header: str, names: list[str]) -> None:
    table = read(header + "\n" + header + "\n")
    assert list(table.columns) == names
    assert cells(table) == [names]
    assert table.index.tolist() == [2 + header.count("\n")]


@pytest.mark.parametrize("line", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_a_first_line_that_names_the_separator_is_obeyed_and_no_row(line: str) -> None:
    table = read(line + "a,1,2;b\nx;y\n")
    assert (list(table.columns), table.index.tolist()) == (["a,1,2", "b"], [3])


def test_a_named_separator_may_be_one_that_is_not_searched_for() -> None:
    assert cells(read("sep=:\na:b\n1:2\n")) == [["1", "2"]]
    assert cells(read("sep=\t\na\tb\n1\t2\n")) == [["1", "2"]]


def test_a_given_separator_wins_over_the_header_and_over_a_named_one() -> None:
    assert list(read("a,b;c\n1;2\n", ";").columns) == ["a,b", "c"]
    assert list(read("sep=,\na,b;c\n1;2\n", ";").columns) == ["a,b", "c"]


def test_a_blank_as_separator_keeps_empty_cells() -> None:
    assert cells(read("a b c\n1  3\n", " ")) == [["1", "", "3"]]


def test_a_single_column_needs_no_separator() -> None:
    assert read("image\ni1\n\ni2\n")["image"].to_dict() == {2: "i1", 4: "i2"}


def test_numbers_stay_as_they_are_written() -> None:
    assert cells(read("a;b;c\n1,5;-0,25;left, upper\n")) == [["1,5", "-0,25", "left, upper"]]
    assert cells(read('a,b\n"1,5",2\n')) == [["1,5", "2"]]
    assert cells(read("a,b\n007,12345678901234567890\n")) == [["007", "12345678901234567890"]]


def test_quotes_hold_separators_and_doubled_quotes() -> None:
    assert cells(read('a,b\n"Squamous, Invasive","so-called ""mole"""\n')) == [
        ["Squamous, Invasive", 'so-called "mole"']
    ]


def test_words_for_missing_stay_text() -> None:
    assert cells(read("a,b,c\nNA,nan,\n")) == [["NA", "nan", ""]]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_the_index_is_the_line_in_the_file_despite_blank_lines_and_lines_within_cells(ends: str) -> None:
    content = 'a,b\n\n1,x\n,\n   \n2,"two\nlines"\n3,y\n'.replace("\n", ends)
    assert read(content)["a"].to_dict() == {3: "1", 6: "2", 8: "3"}


@pytest.mark.parametrize("content", ["a,b\n", "a,b", "a,b\n\n,\n", "sep=,\na,b\n"])
def test_a_header_without_rows_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match=r"table.csv has a header and no rows\. .*Fetch it again"):
        read(content)


def test_a_framed_header_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"table.csv has a header and no rows"):
        read("||a||b||\nLegend\n", "||")


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", "\n \n", "sep=;\n"])
def test_an_empty_file_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match=r"table.csv is empty"):
        read(content)


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"table.csv: the header names age more than once"):
        read("age,sex,age\n1,2,3\n")


@pytest.mark.parametrize("header", ["1,2,3", "1;-0,5;3", "0.5,1e3,", "17"])
def test_a_header_of_numbers_is_a_row_and_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"table.csv: .* numbers \(.*\): is the header line missing\?"):
        read(header + "\n" + header + "\n")


@pytest.mark.parametrize("header", ["id,1,2", "1a,2b", "nan,inf"])
def test_a_header_with_one_name_is_a_header(header: str) -> None:
    assert list(read(header + "\n" + header + "\n").columns) == header.split(",")


@pytest.mark.parametrize(
    ("content", "line"), [("a,b\n1,x\n2,\0\n", 3), ("a,\0b\n1,2\n", 1), ("a\n" + "i\n" * 9000 + "\0\n", 9002)]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_nul_byte_is_refused_with_its_line(content: str, line: int, encoding: str) -> None:
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: a NUL byte"):
        read(content.encode(encoding))


@pytest.mark.parametrize(
    ("content", "line", "num_cells"),
    [
        ("a,b\n1,2\n\n3,4,5\n", 4, 3),
        ("a,b\n1,2,3\n4,5\n", 2, 3),
        ("a,b\n1,2\n3\n", 3, 1),
        ('a,b\n"1\n2",3\n4,5,6\n', 4, 3),
        ("sep=,\na,b\n1,2\n3\n", 4, 1),
    ],
)
def test_a_row_of_the_wrong_length_is_refused_with_file_and_line(content: str, line: int, num_cells: int) -> None:
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: {num_cells} cells .* 2 columns"):
        read(content)


def test_a_quote_that_is_not_closed_is_refused_with_the_line_where_it_opens() -> None:
    with pytest.raises(ValueError, match=r"table.csv, line 3: .*quote"):
        read('a,b\n1,2\n"3,4\n5,6\n')
    with pytest.raises(ValueError, match=r"table.csv, line 1: .*quote"):
        read('"a,b\n' + "1,2\n" * 500)


def test_a_framed_table_is_read_and_its_legend_is_not() -> None:
    table = read(PH2, "||")
    names = ["Name", "Histological Diagnosis", "Clinical Diagnosis", "Asymmetry", "Pigment Network", "Streaks"]
    assert list(table.columns) == [*names, "Colors"]
    assert cells(table) == [
        ["IMD003", "", "0", "0", "T", "A", "4"],
        ["IMD405", "Melanoma", "2", "2", "AT", "P", "3  4  5"],
    ]
    assert table.index.tolist() == [2, 3]


def test_an_empty_cell_of_a_framed_table_shifts_none() -> None:
    assert cells(read("||a||b||c|d||\n||1||||2|||\n", "||")) == [["1", "", "2", ""]]


def test_reading_holds_little_beside_the_table() -> None:
    rows = io.BytesIO("".join(["a,b\n", *(f"{i},{'x' * 60}\n" for i in range(100_000))]).encode())
    tracemalloc.start()
    table = read_csv_text(rows, Path("table.csv"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 100_000
    assert peak < 24 * 2**20  # all rows as Python objects would take twice as much


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6).map(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT).filter(any), min_size=1, max_size=8),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_a_csv_writer_wrote_is_read_back(
    rows: list[tuple[str, ...]], separator: str, quoting: int, ends: str
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator=ends)
    writer.writerows([("a", "b", "c"), *rows])
    assert cells(read(buffer.getvalue())) == [list(row) for row in rows]


ROWS = [f"i{n},p{n},nevus,note {n}" for n in range(6)]


@pytest.mark.parametrize("last", [2, 3, 5])
def test_stray_quotes_that_would_swallow_rows_are_refused(tmp_path, last):
    rows = list(ROWS)
    rows[1], rows[last] = 'i1,p1,nevus,"note 1', f'i{last},p{last},nevus,note {last}"'
    (tmp_path / "t.csv").write_text("\n".join(["image,patient,dx,note", *rows]), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"line 3: a quote opens here and closes in line {last + 2}"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("image,note,dx,age", ['img_1,"see report,nevus,31', 'img_2,5",melanoma,32']),
        ("image,dx,note", ['img_1,nevus,"says nevus', 'img_2,melanoma,large"']),
        ("image,dx,note", ['img_1,nevus,"says nevus', "img_2,melanoma,flat", 'img_3,melanoma,large"']),
        ("note,image,dx", ['"see 1,img_1,nevus', 'see 2",img_2,melanoma']),
        ("a,b,c,d,e,f,g", ["1,2,3,4,5,6,7", 'x,"2,3,4,5,6,7', 'other-9,2",3,4,5,6,7']),
    ],
)
def test_stray_quotes_in_any_column_are_refused(tmp_path, header, rows):
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a quote opens here and closes in line"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "note", ["Large, dark\nsoft, round", "large\nsee img, nevus, flat", "a\nb", "one, two\n\nthree, four"]
)
def test_a_note_of_several_lines_with_commas_is_one_cell(tmp_path, note):
    (tmp_path / "t.csv").write_text(f'image,note,dx\nimg_1,"{note}",nevus\n', encoding="utf-8")
    assert read_table(tmp_path / "t.csv")["note"].tolist() == [note]


def test_a_note_of_several_lines_is_one_cell(tmp_path):
    text = 'image,patient,note\ni1,p1,"red, itchy\nsince May\nworse, bleeds, hurts"\ni2,p2,none\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert read_table(tmp_path / "t.csv")["note"].tolist() == ["red, itchy\nsince May\nworse, bleeds, hurts", "none"]


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    raw = b"a,b\n1," + b"x" * 30_000_000
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"table\.csv, line 2: longer than 10,000,000 characters"):
        read(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(raw)


def test_a_cell_of_a_megabyte_is_no_cell() -> None:
    with pytest.raises(ValueError, match=r"table\.csv, line 2: field larger than field limit"):
        read(b"a,b\n1," + b"x" * 1_000_000)
