"""Where rows go, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.evaluation.audits.row_counts import ROW_COUNT_COLUMNS, CountedCohort, count_cohorts
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.decisions import DECIDED

QUARANTINE = [
    ["clinic.csv", 3, "i3", "age_years", "-4", "impossible", False],
    ["clinic.csv", 3, "i3", "site", "?", "unknown category", False],  # the same row again
    ["clinic.csv", 5, "i5", "site", "?", "unknown category", False],
    ["clinic.csv", 6, "", "image_id", "", "missing", False],
    ["clinic.csv", 7, "", "image_id", "", "missing", False],  # two rows, though neither has an id
    ["clinic.csv", 8, "i8", "lesion_id", "l", "no partner in lesions.csv", True],  # it stays
    ["lesions.csv", 2, "", "lesion_id", "x", "belongs to no row", False],  # no row of the cohort
    ["", -1, "i9", "(image)", "", "empty file", False],
    ["", -1, "i10", DECIDED, "drop", "decision: drop", False],
]


def cohort(role, **changes):
    manifest = {"cohort": role, "num_rows": 20, "num_rows_without_image": 2} | changes
    quarantine = pd.DataFrame(QUARANTINE, columns=COLUMNS)
    return CountedCohort(role, manifest, ["clinic.csv"], quarantine)


@pytest.fixture
def counts():
    """20 rows, 6 quarantined, 2 without image: 12, of which 2 have no label; folds of 5, 4 and a hold-out of 3."""
    ids = [f"r{number:02}" for number in range(12)]
    diagnosis = ["NEV", "MEL"] * 5 + [None, None]
    rows = pd.DataFrame({"image_id": ids, "patient_id": ids, "diagnosis": diagnosis})
    rows = rows.assign(malignant=pd.array([False, True] * 5 + [None, None], dtype="boolean"))
    fold = np.repeat([0, 1, -1], [5, 4, 3])
    splits = rows[["image_id", "patient_id"]].assign(split=np.where(fold < 0, "test", "train"), fold=fold)
    training = pd.DataFrame({"image_id": ids[:10], "partition": "all"})
    adapted = pd.DataFrame({"image_id": [*ids[5:9], *ids[:5]], "partition": ["fold_0"] * 4 + ["fold_1"] * 5})
    settings = EvaluationParams(label="diagnosis")
    return count_cohorts(cohort("source"), cohort("target"), training, adapted, rows, splits, settings)


def lines(counts, role, *, of_partitions):
    own = counts[(counts["role"] == role) & (counts["partition"].ne("") == of_partitions)]
    return own[["partition", "step", "reason", "num_in", "num_set_aside", "num_out"]].to_numpy().tolist()


def test_a_row_that_breaks_several_rules_is_counted_once_and_one_that_stays_not_at_all(counts):
    assert counts.columns.tolist() == ROW_COUNT_COLUMNS
    assert lines(counts, "target", of_partitions=False) == [
        ["", "read", "", 20, 0, 20],
        ["", "quarantine", "image_id: missing", 20, 2, 18],
        ["", "quarantine", "age_years: impossible", 18, 1, 17],
        ["", "quarantine", "site: unknown category", 17, 1, 16],
        ["", "quarantine", "(image): empty file", 16, 1, 15],
        ["", "quarantine", "decision: drop", 15, 1, 14],
        ["", "image", "no image", 14, 2, 12],
        ["", "label", "no label", 12, 2, 10],
    ]


def test_probes_are_trained_and_tested_on_labelled_rows_and_encoders_adapted_on_all(counts):
    assert lines(counts, "target", of_partitions=True) == [
        ["fold_0", "adapt", "kept from it", 12, 8, 4],
        ["fold_1", "adapt", "kept from it", 12, 7, 5],
        ["fold_0", "train", "not of its training patients", 10, 6, 4],
        ["fold_0", "test", "not of its test patients", 10, 5, 5],
        ["fold_1", "train", "not of its training patients", 10, 5, 5],
        ["fold_1", "test", "not of its test patients", 10, 6, 4],
        ["holdout", "train", "not of its training patients", 10, 1, 9],
        ["holdout", "test", "not of its test patients", 10, 9, 1],
    ]
    assert lines(counts, "source", of_partitions=True) == [["all", "pretrain", "kept from it", 12, 2, 10]]


def test_every_line_adds_up_follows_the_one_before_and_every_labelled_row_is_tested_once(counts):
    assert (counts["num_in"] - counts["num_set_aside"] == counts["num_out"]).all()
    for role in ("source", "target"):
        chain = counts[(counts["role"] == role) & (counts["partition"] == "")]
        assert chain["num_in"].tolist()[1:] == chain["num_out"].tolist()[:-1]
    assert counts.loc[counts["step"] == "test", "num_out"].sum() == 10


def test_a_cohort_of_which_nothing_is_set_aside_names_no_reason():
    clean = CountedCohort("source", {"cohort": "c", "num_rows": 3, "num_rows_without_image": 0}, ["clinic.csv"],
                          pd.DataFrame(columns=COLUMNS))  # fmt: skip
    assert [line[1:] for line in clean.lines_to_images()] == [
        ("read", "", 3, 3), ("quarantine", "", 3, 3), ("image", "no image", 3, 3),
    ]  # fmt: skip


def test_rows_of_several_cohorts_on_lines_of_equal_number_are_told_apart():
    quarantine = pd.DataFrame(
        {
            "table": ["one/t.csv", "two/t.csv"], "line": [4, 4], "image_id": ["one:a", "two:a"],
            "column": ["age", "age"], "reason": ["no number", "no number"], "kept": [False, False],
        }
    )  # fmt: skip
    manifest = {"cohort": "one+two", "num_rows": 10, "num_rows_without_image": 1}
    *_, broken, image = CountedCohort("source", manifest, ["one/t.csv", "two/t.csv"], quarantine).lines_to_images()
    assert broken[2:] == ("age: no number", 10, 8) and image[3:] == (8, 7)
