"""Leaks are counted by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.leak_table import LEAK_COLUMNS, leak_table


def cohort(name, *, same_registry=False):
    return SimpleNamespace(
        name=name, members={}, holds=lambda other: other.name == name, shares_registry=lambda other: same_registry
    )


CLINIC, ELSEWHERE, REGISTRY = cohort("clinic"), cohort("elsewhere"), cohort("elsewhere", same_registry=True)
NOTHING = pd.DataFrame(columns=["partition", "image_id", "patient_id"])


@pytest.fixture
def splits():
    ids = {"image_id": list("abcdef"), "patient_id": ["p0", "p0", "p1", "p2", "p2", "p3"]}
    return pd.DataFrame(ids | {"split": ["train"] * 5 + ["test"], "fold": [0, 0, 1, 1, 1, -1]})


def rows(*lines):
    return pd.DataFrame(lines, columns=["partition", "image_id", "patient_id"])


def found(table):
    return table.set_index("check")["found"].to_dict()


def count(splits, source=ELSEWHERE, training=NOTHING, adaptation=NOTHING, pairs=(), seen=()):
    duplicates = pd.DataFrame({"kind": ["near"] * len(pairs), "across_folds": pd.Series(pairs, dtype=bool)})
    seen = pd.DataFrame(list(seen), columns=["image_id", "seen_as", "kind"])
    return leak_table(source, CLINIC, training, adaptation, splits, duplicates, seen)


def test_clean_cohorts_have_zeros_beside_what_was_looked_at(splits):
    table = count(splits, training=rows(["all", "x", "p0"]))
    assert list(table) == LEAK_COLUMNS and (table["found"] == 0).all()
    assert table.set_index("check").loc["patient on both sides of a split", "looked_at"] == 4
    assert "patient of the target in pre-training" not in set(table["check"])  # ids mean nothing across cohorts


def test_a_patient_on_both_sides_is_counted_once(splits):
    splits.loc[0, "fold"] = 1
    assert found(count(splits))["patient on both sides of a split"] == 1


def test_pictures_and_patients_of_another_cohorts_pretraining(splits):
    training = rows(["all", "a", "p0"], ["all", "z", "p3"])
    assert found(count(splits, training=training))["picture of the target in pre-training"] == 1
    assert found(count(splits, REGISTRY, training))["patient of the target in pre-training"] == 2


def test_test_patients_of_each_partition_in_trainings_on_the_cohort_itself(splits):
    training = rows(["fold_0", "c", "p1"], ["fold_0", "a", "p0"], ["fold_1", "b", "p0"], ["holdout", "f", "p3"])
    own = count(splits, CLINIC, training=training)
    assert found(own)["test patient in pre-training"] == 2  # p0 in fold 0, p3 in the hold-out
    assert own.set_index("check").loc["test patient in pre-training", "looked_at"] == 4
    assert found(count(splits, adaptation=training))["test patient in adaptation"] == 2
    assert "test patient in adaptation" not in found(own)


def test_duplicates_across_folds_and_pictures_seen_under_another_name(splits):
    seen = [["a", "x", "near"], ["a", "y", "near"], ["b", "x", "same bytes"]]
    lines = found(count(splits, pairs=[True, False, True], seen=seen))
    assert lines["the same picture of two patients, in two folds"] == 2
    assert lines["nearly identical picture in pre-training, under another name"] == 1
    assert lines["identical picture in pre-training, under another name"] == 1
