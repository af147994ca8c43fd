"""What was printed, held against what a page says."""

import pytest

from new_user.printed import differences


@pytest.mark.parametrize(
    ("said", "printed", "is_same"),
    [
        ("slimp  0.254 [0.198, 0.314]", "  slimp 0.250 [0.2, 0.32]", True),  # each within 0.02
        ("slimp 0.254", "slimp 0.280", False),
        ("slimp 0.254", "flat 0.254", False),
        ("difference +0.010", "difference -0.005", True),  # 0.015 apart, though the sign turns
        ("rows 1,616", "rows 1,616", True),
        ("rows 1,616", "rows 1,617", False),  # a whole number is exact
        ("Report: data/<version>/report.html", "Report:   data/2026-11-27T21.00.00.000Z/report.html", True),
        ("Report: data/<version>/report.html", "Report: data/one/page.html", False),
        ("a\nb", "before\na\nb\nafter", True),
        ("a\nb", "a\nother\nb", False),
        ("a\n…\nb", "a\nother\nb", True),
        ("a\n…\nb", "b\na", False),
    ],
)
def test_lines_are_the_same_but_for_blanks_versions_and_small_differences(said, printed, is_same):
    assert (differences(said, printed, within=0.02) == []) == is_same


def test_what_differs_is_told_beside_what_was_printed_in_its_place():
    (told,) = differences("first line\nvalue 0.5", "first line\nvalue 0.9", within=0.02)
    assert "the page says   value 0.5" in told and "printed was     value 0.9" in told


def test_any_number_will_do_where_the_run_is_another():
    assert not differences("rows 12, value +0.5", "rows 7, value -0.1", any_number=True)
    assert differences("rows 12, value 0.5", "lines 7, value 0.1", any_number=True)
    assert not differences("ACK 115\nBCC 100", "BCC 30\nACK 20", any_number=True)  # listed by number


def test_what_another_run_says_of_noise_is_not_compared():
    said, printed = "rows 12\na - b: +0.5, outside noise\nend", "rows 7\nNo gain is shown: within noise.\nend"
    assert not differences(said, printed, any_number=True)
    assert differences(said, printed)
