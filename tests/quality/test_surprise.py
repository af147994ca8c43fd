"""How rare it is to be as suspicious."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.quality.surprise import surprise

MEASURES = st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=30)


def test_shares_of_ten_candidates_are_worked_out_by_hand():
    # As low as the lowest: 1 of 10; as low as a 0: 5 of 10.
    found = surprise(np.arange(10.0), np.repeat([0, 1], 5))
    np.testing.assert_allclose(found[[0, 4, 5, 9]], [1 + np.log10(2), 2 * np.log10(2), -np.log10(0.6), 0], atol=1e-12)


@given(MEASURES)
def test_it_depends_on_the_order_of_values_alone_and_not_on_that_of_candidates(values):
    one, other = (np.array(column, dtype=float) for column in zip(*values, strict=True))
    found = surprise(one, other)
    assert (found >= 0).all() and not np.signbit(found).any()
    np.testing.assert_array_equal(surprise(one * 8 + 3, other), found)
    np.testing.assert_array_equal(surprise(one[::-1], other[::-1]), found[::-1])
    np.testing.assert_allclose(surprise(other, one), found)


def test_a_measure_that_tells_nothing_adds_nothing():
    values = np.random.default_rng(0).normal(size=9)
    np.testing.assert_array_equal(surprise(values, np.zeros(9)), surprise(values))


def test_no_candidates_have_no_surprise():
    assert surprise(np.empty(0), np.empty(0)).shape == (0,)
