"""Fewer rows of the common classes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.evaluation.protocols.thinning import thin


@given(st.integers(0, 10**6), st.integers(1, 80))
def test_a_class_loses_rows_only_to_those_that_have_fewer(seed, max_rows):
    label_N = np.random.default_rng(seed).choice(3, 60, p=[0.7, 0.25, 0.05])
    thinned = thin(label_N, 4, max_rows, seed)
    rows = thinned.rows
    assert len(rows) == min(60, max_rows) and (np.diff(rows) > 0).all()
    size_K, left_K = np.bincount(label_N, minlength=4), np.bincount(label_N[rows], minlength=4)
    assert ((left_K == size_K) | (left_K >= left_K.max() - 1)).all()
    np.testing.assert_allclose((thinned.stands_for_K * left_K)[left_K > 0], size_K[left_K > 0])
    np.testing.assert_array_equal(rows, thin(label_N, 4, max_rows, seed).rows)


def test_few_rows_are_all_kept_and_stand_for_themselves():
    thinned = thin(np.array([1, 1, 0]), 2, None, 0)
    assert thinned.rows.tolist() == [0, 1, 2] and thinned.stands_for_K.tolist() == [1, 1]
