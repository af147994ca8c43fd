"""Lesions unlike their patient's others."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.features.patient_context import distances_from_own_mean
from slimp_pipeline.evaluation.features.ugly_ducklings import DUCKLING_COLUMNS, ugly_duckling_table


def test_distances_by_hand():
    # Two lesions at right angles: each is 45 degrees from their mean. Then one alone.
    embedding = np.array([[2.0, 0], [0, 3], [1, 1]])
    distance, stands_out = distances_from_own_mean(embedding, np.array(["a", "a", "b"]), np.arange(3))
    np.testing.assert_allclose(distance[:2], 1 - np.sqrt(0.5))
    assert np.isnan(distance[2]) and not stands_out.any()


def test_a_lesion_photographed_twice_counts_once_in_the_mean():
    embedding = np.array([[1.0, 0], [1, 0], [0, 1]])
    distance, _ = distances_from_own_mean(embedding, np.array(["a"] * 3), np.array(["l1", "l1", "l2"]))
    np.testing.assert_allclose(distance, 1 - np.sqrt(0.5))


def test_the_one_that_points_elsewhere_stands_out_and_ordinary_ones_do_not():
    angle = np.radians([0, 2, 4, 6, 8, 10, 90])
    embedding = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    _, stands_out = distances_from_own_mean(embedding, np.zeros(7), np.arange(7))
    assert list(stands_out) == [False] * 6 + [True]
    _, ordinary = distances_from_own_mean(embedding[:6], np.zeros(6), np.arange(6))
    assert not ordinary.any()


def test_of_three_lesions_none_stands_out():
    embedding = np.array([[1.0, 0], [1, 0.01], [0, 1]])
    assert not distances_from_own_mean(embedding, np.zeros(3), np.arange(3))[1].any()


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        distances_from_own_mean(np.array([[np.nan, 0]]), np.zeros(1), np.zeros(1))


def test_the_table_has_every_picture_of_a_patient_with_several_lesions(small_cohort):
    small_cohort.lesions.loc[:1, "lesion_id"] = "l00"  # one lesion, twice photographed: its patient has no other
    table = ugly_duckling_table(small_cohort.target())
    assert list(table) == DUCKLING_COLUMNS and len(table) == 118
    assert set(table["image_id"]) == set(small_cohort.lesions["image_id"][2:])
    values = small_cohort.embeddings["slimp.all.image"]
    train = small_cohort.splits["fold"].isin([1, 2]).to_numpy()
    own = values[2:4] - values[train].mean(axis=0)
    expected, _ = distances_from_own_mean(own, np.zeros(2), np.arange(2))
    np.testing.assert_allclose(table["distance"][:2], expected, rtol=1e-5)


def test_labels_are_not_looked_at(small_cohort):
    before = ugly_duckling_table(small_cohort.target())
    small_cohort.lesions["diagnosis"] = "?"
    pd.testing.assert_frame_equal(before, ugly_duckling_table(small_cohort.target()))
