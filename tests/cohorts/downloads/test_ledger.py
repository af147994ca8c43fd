"""The ledger: it only grows, and survives whatever ends a run."""

import json
from dataclasses import replace

import pytest

from slimp_pipeline.cohorts.downloads.ledger import COLUMNS, Entry, Ledger, as_table

IMAGE = Entry("image", "images/ISIC_1.jpg", "got", "ISIC_1", 10, "ab", 2, "", "CC-0", "Clinic")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder/ledger.jsonl"


def test_what_was_written_is_read_again_and_the_last_word_counts(file):
    ledger = Ledger(file)
    ledger.add(replace(IMAGE, outcome="failed", reason="429", num_tries=1))
    ledger.add(IMAGE)
    assert [json.loads(line)["outcome"] for line in file.read_text().splitlines()] == ["failed", "got"]
    assert list(Ledger(file)) == list(ledger) == [IMAGE]
    assert Ledger(file).got("image", "ISIC_1") == IMAGE
    assert Ledger(file).num_tries("image", "ISIC_1") == 2
    assert Ledger(file).num_tries("image", "ISIC_2") == 0


def test_what_failed_was_not_got(file):
    ledger = Ledger(file)
    ledger.add(replace(IMAGE, outcome="failed"))
    assert ledger.got("image", "ISIC_1") is None


@pytest.mark.parametrize("torn", [b'{"kind": "ima', b"\xff\xfe", b"[]", b'{"kind": "image"}'])
def test_a_torn_line_is_passed_over_and_the_next_one_is_whole(file, torn):
    Ledger(file).add(IMAGE)
    with file.open("ab") as lines:
        lines.write(torn)
    other = replace(IMAGE, image_id="ISIC_2", name="images/ISIC_2.jpg")
    Ledger(file).add(other)
    assert list(Ledger(file)) == [IMAGE, other]


def test_a_line_break_in_a_text_breaks_no_line(file):
    entry = replace(IMAGE, attribution="Clinic\nof \u2028 Zürich")
    Ledger(file).add(entry)
    assert list(Ledger(file)) == [entry]


def test_a_table_has_a_row_for_each_entry_and_columns_even_without():
    assert as_table([IMAGE, IMAGE]).shape == (2, len(COLUMNS))
    assert list(as_table([]).columns) == COLUMNS
