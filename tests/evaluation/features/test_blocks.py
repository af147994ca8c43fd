"""Feature blocks of equal weight."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.evaluation.features.blocks import Scaling, scale_blocks

sizes = st.tuples(st.integers(0, 10**6), st.integers(3, 30), st.integers(1, 8))


@given(sizes, st.floats(0.01, 1000))
def test_every_block_has_mean_squared_length_1_over_training_rows(size, scale):
    seed, num_rows, width = size
    rng = np.random.default_rng(seed)
    train_N = np.arange(num_rows) < max(2, num_rows // 2)
    blocks = [rng.normal(5, scale, (num_rows, width)), rng.normal(0, 1, (num_rows, 3 * width))]
    joined = scale_blocks(blocks, train_N)
    assert joined.shape == (num_rows, 4 * width)
    for part in (joined[train_N, :width], joined[train_N, width:]):
        np.testing.assert_allclose((part**2).sum(axis=1).mean(), 1, rtol=1e-5)


@given(sizes)
def test_test_rows_have_no_say_in_the_scaling(size):
    seed, num_rows, width = size
    rng = np.random.default_rng(seed)
    values, train_N = rng.normal(size=(num_rows, width)), np.arange(num_rows) < max(2, num_rows // 2)
    changed = np.where(train_N[:, None], values, 100 * rng.normal(size=values.shape))
    np.testing.assert_array_equal(scale_blocks([values], train_N)[train_N], scale_blocks([changed], train_N)[train_N])


def test_columns_that_are_constant_in_training_are_dropped():
    values = np.array([[1, 7, 0], [2, 7, 0], [3, 9, 5.0]])
    assert scale_blocks([values], np.array([True, True, False])).tolist() == [[-1], [1], [3]]


def test_a_block_that_is_constant_in_training_is_a_column_of_zeros():
    joined = scale_blocks([np.full((3, 5), 0.3, dtype=np.float32), np.array([[1.0], [3], [2]])], np.ones(3, dtype=bool))
    assert joined.shape == (3, 2) and not joined[:, 0].any()


@given(sizes)
def test_chosen_rows_are_scaled_as_among_all_and_as_the_joined_columns_tell(size):
    seed, num_rows, width = size
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(3, 2, (num_rows, width)), rng.integers(0, 2, (num_rows, 3)).astype(np.float32)]
    train_N, chosen_N = np.arange(num_rows) < max(2, num_rows // 2), rng.random(num_rows) < 0.5
    scaling = Scaling.fit(blocks, train_N)
    np.testing.assert_array_equal(scaling(blocks, chosen_N), scale_blocks(blocks, train_N)[chosen_N])
    columns, mean_D, factor_D = scaling.joined()
    np.testing.assert_allclose(
        (np.hstack(blocks)[:, columns] - mean_D) * factor_D, scaling(blocks), rtol=1e-6, atol=1e-6
    )
