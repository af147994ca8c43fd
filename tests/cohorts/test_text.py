"""Texts as they are meant, and what they look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.text import form_of


@pytest.mark.parametrize(
    ("text", "form"),
    [("IMG_07.jpg", "AAA_00.aaa"), ("Müller-3", "Aaaaaa-0"), ("", ""), ("x" * 41, "a" * 40 + "…"), ("٣岡ß", "0aa")],
)
def test_a_form_keeps_case_and_signs_alone(text, form):
    assert form_of(text) == form


@given(text=st.text())
def test_a_form_holds_no_letter_and_no_digit_of_the_text(text):
    assert {letter for letter in form_of(text) if letter.isalnum()} <= {
        letter for letter in text if not (letter.isalpha() or letter.isdecimal())
    } | set("Aa0")
