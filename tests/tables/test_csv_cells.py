"""Text cells that no spreadsheet takes for formulas."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.tables.csv_cells import csv_text, guard_formulas, unguard_formulas

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
CELL = st.one_of(TEXT, st.text("'=+-@\t\r\n\",x", max_size=5))


def read(text: str) -> pd.DataFrame:
    return unguard_formulas(pd.read_csv(io.StringIO(text, newline=""), dtype=str, keep_default_na=False))


@given(rows=st.lists(st.tuples(CELL, CELL), max_size=5), names=st.lists(CELL, min_size=2, max_size=2, unique=True))
def test_texts_and_column_names_come_back_exactly(rows, names):
    names = [f"{name}{position}" for position, name in enumerate(names)]  # no name may be empty
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    back = read(csv_text(frame))
    assert back.columns.tolist() == names
    assert [tuple(row) for row in back.to_numpy()] == rows


@given(text=CELL)
def test_no_text_starts_as_a_formula_does_and_others_stay_as_they_are(text):
    guarded = guard_formulas(pd.DataFrame({"a": [text]}, dtype=object))["a"][0]
    assert not guarded.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    if text.lstrip("'")[:1].isalnum():
        assert guarded == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("-1", "'-1"),
        ("＝1+1", "'＝1+1"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_formula_gets_one_apostrophe(text, written):
    frame = pd.DataFrame({"a": [text]})
    assert guard_formulas(frame)["a"][0] == written
    assert frame["a"][0] == text  # the table that was given stays as it is


def test_numbers_and_missing_cells_stay_as_they_are():
    frame = pd.DataFrame(
        {
            "value": [-1.5, np.nan, 2.0],
            "line": pd.array([-1, 2, None], dtype="Int64"),
            "mixed": pd.Series([-3, "-3", None], dtype=object),
            "kind": pd.Categorical(["-a", None, "b"]),
            "day": pd.to_datetime(["2026-01-31"] * 3),
            "empty": pd.Series([None] * 3, dtype="str"),
        }
    )
    guarded = guard_formulas(frame)
    pd.testing.assert_frame_equal(guarded[["value", "line", "day", "empty"]], frame[["value", "line", "day", "empty"]])
    assert guarded["mixed"].tolist() == [-3, "'-3", None]
    assert guarded["kind"].tolist()[::2] == ["'-a", "b"]
    pd.testing.assert_frame_equal(unguard_formulas(guarded), frame)
    assert csv_text(frame).splitlines()[1] == "-1.5,-1,-3,'-a,2026-01-31,"


def test_a_carriage_return_within_a_cell_starts_no_new_row():
    frame = pd.DataFrame({"a": ["one\rtwo", "three"], "b": [1, 2]})
    assert pd.read_csv(io.StringIO(csv_text(frame), newline="")).to_dict("list") == frame.to_dict("list")
