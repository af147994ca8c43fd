"""Names that others gave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.reporting.text import figure_text, in_lines, read_out, short, visible


def test_what_turns_the_direction_and_what_can_not_be_seen_gets_a_sign():
    assert visible("a\u202eb\u2066c\x00d\x1b") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    assert visible("é\u05d0\u0627\n\t") == "é\u05d0\u0627\n\t"


def test_a_long_name_is_cut_for_a_figure_before_it_is_escaped():
    assert short("x" * 48) == "x" * 48 and short("x" * 49) == "x" * 47 + "…"
    assert figure_text("<" * 60) == "&lt;" * 47 + "…"
    assert figure_text(7) == "7"


def test_a_name_is_broken_into_lines_between_words_and_within_one_that_is_too_long():
    assert in_lines("Squamous cell carcinoma, NOS", 18) == "Squamous cell<br>carcinoma, NOS"
    assert in_lines("x" * 20, 18) == "x" * 18 + "<br>xx" and in_lines("a <b>", 3) == "a<br>&lt;b&gt;"
    assert in_lines("y" * 60, 18).count("<br>") == 2 and in_lines("y" * 60, 18).endswith("…") and in_lines("", 18) == ""


@given(st.text(max_size=40))
def test_no_tag_is_left_in_a_figure_and_it_is_read_out_as_it_was(name):
    text = figure_text(name)
    assert "<" not in text
    if "&" not in name:  # what looks like an entity is read as one
        assert read_out(text) == visible(name).replace("\n", " ").strip()


@pytest.mark.parametrize(("text", "said"), [("a<br>+ b", "a + b"), (None, ""), ("&lt;b&gt;", "<b>")])
def test_markup_of_a_figure_is_not_read_out(text, said):
    assert read_out(text) == said
