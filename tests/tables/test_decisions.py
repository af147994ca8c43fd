"""Decision files: what people decided about images is followed, or refused by line and column."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.tables.csv_cells import csv_text
from slimp_pipeline.tables.decisions import DECIDED, DECISIONS, apply_decisions

FACTS = {"table": "t.csv", "num_rows": 6, "joins": {}, "names_absent": [], "decisions": {}, "notes": ["a word"]}


@pytest.fixture
def reading(make_lesions):
    """Five rows, i0000 to i0004, and a sixth that is set aside already."""
    rows = make_lesions(list("aabbc"), diagnosis=["nevus"] * 5, malignant=pd.array([False] * 5, dtype="boolean"))
    rows = rows.drop(columns="store_index").assign(image_folder="")
    broken = {"table": "t.csv", "line": 7, "image_id": "broken", "column": "age", "value": "x", "reason": "bad"}
    return Reading(rows, pd.DataFrame([broken | {"kept": False}])[COLUMNS], dict(FACTS))


@pytest.fixture
def decide(reading, tmp_path):
    def run(*lines, header="image_id,decision,note", given=reading):
        path = tmp_path / "decisions.csv"
        path.write_text("\n".join([header, *lines]))
        return apply_decisions(given, path)

    return run


def test_dropped_images_and_duplicates_go_to_the_quarantine_and_kept_ones_stay(decide):
    decided = decide("i0000,keep,fine", "i0001,drop,a ruler", "i0003,duplicate_of,i0004", "i0002,,", "i0004,keep,")
    assert decided.rows["image_id"].tolist() == ["i0000", "i0002", "i0004"]
    assert decided.rows.index.tolist() == [0, 1, 2]
    entries = decided.quarantine[decided.quarantine["column"] == DECIDED]
    assert entries[["image_id", "value", "reason", "kept", "line"]].to_numpy().tolist() == [
        ["i0001", "drop a ruler", "decision: drop", False, -1],
        ["i0003", "duplicate_of i0004", "decision: a duplicate of another image", False, -1],
    ]
    assert decided.facts["decisions"] == {"keep": 2, "drop": 1, "duplicate_of": 1, "wrong_label": 0}
    assert decided.facts["notes"] == [
        "a word", "decisions of decisions.csv: 2 keep, 1 drop, 1 duplicate_of; 1 rows without a decision",
    ]  # fmt: skip
    assert decided.facts["num_rows"] == 6  # those that were there


def test_decisions_that_leave_no_row_are_refused(decide):
    with pytest.raises(ValueError, match=r"decisions\.csv drops all 5 rows that could be read: let some stay"):
        decide(*(f"i000{number},drop," for number in range(5)))


def test_a_wrong_label_is_taken_as_not_known_and_the_row_stays(decide):
    decided = decide("i0002,wrong_label,melanoma?")
    rows = decided.rows.set_index("image_id")
    assert pd.isna(rows.loc["i0002", "diagnosis"]) and pd.isna(rows.loc["i0002", "malignant"])
    assert rows.drop(index="i0002")["diagnosis"].eq("nevus").all() and len(rows) == 5
    assert rows["malignant"].dtype == "boolean"
    (entry,) = decided.quarantine[decided.quarantine["column"] == DECIDED].to_dict("records")
    assert entry["kept"] and entry["reason"] == "decision: wrong label, taken as not known"


def test_the_rows_that_are_given_stay_as_they_were(decide, reading):
    before = reading.rows.copy()
    decide("i0000,drop,", "i0001,wrong_label,")
    pd.testing.assert_frame_equal(reading.rows, before)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["i0000,keep,", "nobody,drop,"], r"line 3, column image_id: the cohort has no image 'nobody'"),
        (["i0000.png,drop,"], r"line 2, column image_id: .*'i0000\.png'\. Is 'i0000' meant\?"),
        (
            ["i0000,dropp,"],
            r"line 2, column decision: 'dropp' is none; known are keep, drop, duplicate_of, wrong_label",
        ),
        (["i0000,drop,", "i0001,keep,", "i0000,keep,"], r"line 4, column image_id: 'i0000' stands in line 2 already"),
        (["i0000,drop,", "i0000,drop,"], r"line 3, column image_id: 'i0000' stands in line 2 already: decide once"),
        ([",drop,"], r"line 2, column image_id: no image id"),
        (["i0000,duplicate_of,"], r"line 2, column note: no image; of a duplicate, it names the image that stays"),
        (["i0000,duplicate_of,nobody"], r"line 2, column note: the cohort has no image 'nobody'"),
        (["i0000,duplicate_of,i0000"], r"line 2, column note: 'i0000' is itself a duplicate of this image"),
        (["i0000,duplicate_of,i0001", "i0001,duplicate_of,i0000"], r"line 2, column note: 'i0001' is itself"),
        (["i0000,duplicate_of,i0001", "i0001,drop,"], r"line 2, column note: 'i0001', .* is dropped"),
        (
            ["i0000,duplicate_of,i0001", "i0001,duplicate_of,i0002", "i0002,drop,"],
            r"line 2, column note: 'i0002', .* is dropped[^$]*line 3, column note",
        ),
    ],
)
def test_what_cannot_be_followed_is_named_by_line_and_column(decide, lines, message):
    with pytest.raises(
        ValueError, match=rf"decisions\.csv can't be followed, and nothing was dropped:\n(.*\n)*?.*{message}"
    ):
        decide(*lines)


def test_of_many_problems_the_first_are_said_in_order(decide):
    with pytest.raises(ValueError, match=r"(?s)line 2, .*line 3, .*line 6, .*and 4 more\nCorrect these lines"):
        decide(*(f"nobody{n},drop," for n in range(9)))


@pytest.mark.parametrize("header", ["image,decision,note", "image_id,verdict,note"])
def test_a_file_without_the_columns_is_refused(decide, header):
    with pytest.raises(ValueError, match="needs the columns image_id, decision, note; it has no "):
        decide("i0000,drop,", header=header)


def test_other_columns_and_an_absent_note_are_fine(decide):
    decided = decide("anna,i0001,DROP", header="reader,image_id,decision")
    assert decided.facts["decisions"]["drop"] == 1
    assert "i0001" not in set(decided.rows["image_id"])


def test_a_decision_on_an_image_that_is_set_aside_already_changes_nothing(decide, reading):
    decided = decide("broken,drop,")
    pd.testing.assert_frame_equal(decided.quarantine, reading.quarantine)
    assert len(decided.rows) == 5


def test_a_duplicate_of_an_image_that_is_set_aside_is_refused_and_nothing_is_lost(decide):
    with pytest.raises(ValueError, match=r"line 2, column note: the row of 'broken', .* is in the quarantine: mend"):
        decide("i0000,duplicate_of,broken")
    with pytest.raises(ValueError, match=r"line 2, column note: the row of 'broken'[^$]*line 3, column note"):
        decide("i0000,duplicate_of,i0001", "i0001,duplicate_of,broken", "broken,duplicate_of,i0002")


def test_what_is_set_aside_already_may_be_a_duplicate_of_what_is_so_too(reading, decide):
    others = reading.quarantine.assign(image_id="worse")
    reading = Reading(reading.rows, pd.concat([reading.quarantine, others], ignore_index=True), reading.facts)
    decided = decide("broken,duplicate_of,worse", given=reading)
    pd.testing.assert_frame_equal(decided.rows, reading.rows)


def test_a_chain_of_duplicates_that_ends_at_an_image_which_stays_is_followed(decide):
    decided = decide("i0000,duplicate_of,i0001", "i0001,duplicate_of,i0002")
    assert decided.rows["image_id"].tolist() == ["i0002", "i0003", "i0004"]


def test_ids_that_a_spreadsheet_would_take_for_formulas_are_found_again(reading, tmp_path):
    odd = ["=1+1", "-2", "'=x", "+a,b", "@c"]
    rows = reading.rows.assign(image_id=odd)
    path = tmp_path / "decisions.csv"
    path.write_text(csv_text(pd.DataFrame({"image_id": odd, "decision": [*["drop"] * 4, "keep"], "note": "=2"})))
    decided = apply_decisions(Reading(rows, reading.quarantine, reading.facts), path)
    assert decided.rows["image_id"].tolist() == ["@c"] and decided.facts["decisions"]["drop"] == 4


@given(
    st.lists(st.sampled_from([*DECISIONS[:2], "wrong_label", ""]), min_size=5, max_size=5), st.permutations(range(5))
)
def test_the_order_of_lines_doesnt_matter_and_every_row_is_accounted_for(decisions, order):
    rows = pd.DataFrame({"image_id": [f"i{n}" for n in range(6)], "diagnosis": "nevus"})  # one more than are decided
    rows["malignant"] = pd.array([True] * 6, dtype="boolean")
    before = Reading(rows, pd.DataFrame(columns=COLUMNS), dict(FACTS))
    table = pd.DataFrame({"image_id": rows["image_id"][:5], "decision": decisions, "note": ""})
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for lines in (table, table.iloc[list(order)]):
            patch.setattr("slimp_pipeline.tables.decisions.read_table", lambda _, lines=lines: lines.copy())
            found.append(apply_decisions(before, _Named()))
    pd.testing.assert_frame_equal(found[0].rows, found[1].rows)
    pd.testing.assert_frame_equal(found[0].quarantine, found[1].quarantine)
    aside = found[0].quarantine[~found[0].quarantine["kept"].astype(bool)] if len(found[0].quarantine) else []
    assert len(found[0].rows) + len(aside) == 6


class _Named:
    name = "decisions.csv"
