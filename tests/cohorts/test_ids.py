"""Ids of files are matched to ids of rows where it is plain which is meant, and named where it isn't."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.ids import match_ids

NFC, NFD = "läsion_1", unicodedata.normalize("NFD", "läsion_1")


@pytest.mark.parametrize(
    ("row", "file", "difference"),
    [
        (NFC, NFD, "Unicode form"),
        (NFD, NFC, "Unicode form"),
        ("shot at 3.05 PM", "shot at 3.05\u202fPM", "Unicode form"),
        ("family \U0001f468\U0001f469", "family \U0001f468\u200d\U0001f469", "Unicode form"),
        ("img_1.jpg", "img_1", "suffix"),
        ("img_1.JPEG", "img_1", "suffix"),
        ("img_1", "img_1.png", "suffix"),
        ("IMG_1", "img_1", "case"),
        ("IMG_1.JPG", "img_1", "case"),
        ("img_7", "img_007", "leading zeros"),
        ("0042", "42", "leading zeros"),
        ("IMG_007.jpg", "img_7", "leading zeros"),
    ],
)
def test_ids_that_differ_by_one_thing_are_matched_and_said(row: str, file: str, difference: str) -> None:
    matching = match_ids([row, "other"], [file, "further"])
    assert matching.row_of == {file: row}
    assert len(matching.notes) == 1
    assert matching.notes[0].startswith(f"1 images matched though their ids differ by {difference}")


def test_equal_ids_are_matched_without_a_word() -> None:
    matching = match_ids(["a", "b", "c"], ["c", "a", "d"])
    assert matching.row_of == {"a": "a", "c": "c"} and not matching.notes


@pytest.mark.parametrize(
    ("rows", "files", "matched"),
    [
        (["IMG_1"], ["img_1", "Img_1"], {}),  # which file?
        (["IMG_1", "img_1"], ["Img_1"], {}),  # which row?
        (["1", "01"], ["1", "001"], {"1": "1"}),  # is 001 the row 01, or the row 1 once more?
        (["img_10", "img_1"], ["img_010", "img_001"], {"img_010": "img_10", "img_001": "img_1"}),
        (["a.jpg", "a.png"], ["a"], {}),
    ],
)
def test_ids_are_named_and_not_matched_where_more_than_one_is_meant(
    rows: list[str], files: list[str], matched: dict[str, str]
) -> None:
    matching = match_ids(rows, files)
    assert matching.row_of == matched
    assert any("can't be matched, since more than one is alike" in note for note in matching.notes) == (
        len(matched) < len(files)
    )


NAMES = st.lists(
    st.sampled_from(
        ["a", "A", "a1", "a01", "A1.jpg", "a1.png", "ä", unicodedata.normalize("NFD", "ä"), "b", "1", "01"]
    ),
    unique=True,
)


@given(rows=NAMES, files=NAMES)
def test_no_file_has_two_rows_and_no_row_two_files(rows: list[str], files: list[str]) -> None:
    matching = match_ids(rows, files)
    assert set(matching.row_of) <= set(files) and set(matching.row_of.values()) <= set(rows)
    assert len(set(matching.row_of.values())) == len(matching.row_of)
    assert all(matching.row_of[name] == name for name in set(rows) & set(files))


@given(rows=NAMES, files=NAMES, seed=st.randoms())
def test_what_is_matched_hangs_on_no_order(rows: list[str], files: list[str], seed) -> None:
    before = match_ids(rows, files)
    seed.shuffle(rows)
    seed.shuffle(files)
    assert match_ids(rows, files).row_of == before.row_of
