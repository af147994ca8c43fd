"""Grids: every value has a number, none is drawn twice, and none is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.parameters import RangeParams
from slimp_pipeline.search.grid import Grid
from slimp_pipeline.search.space import distributions

HEADS, WEIGHT, POOLING = "model.metadata_encoder.num_heads", "training.loss.lesion_weight", "model.pooling"
SPACE = {
    HEADS: RangeParams(low=1, high=5, step=2),
    WEIGHT: RangeParams(low=0.0, high=0.3, step=0.1),
    POOLING: RangeParams(choices=["mean", "max"]),
}


def grid_of(space):
    return Grid.of(distributions(space))


def test_values_are_counted_up_like_figures_of_a_number():
    grid = grid_of(SPACE)
    assert grid.size == 3 * 4 * 2
    assert grid.values(0) == {HEADS: 1, WEIGHT: 0.0, POOLING: "mean"}
    assert grid.values(1) == {HEADS: 1, WEIGHT: 0.0, POOLING: "max"}
    assert grid.values(10) == {HEADS: 3, WEIGHT: pytest.approx(0.1), POOLING: "mean"}
    assert grid.values(23) == {HEADS: 5, WEIGHT: 0.3, POOLING: "max"}
    assert [grid.number(grid.values(number)) for number in range(24)] == list(range(24))


def test_values_that_differ_by_rounding_alone_have_one_number():
    grid = grid_of({WEIGHT: RangeParams(low=0.0, high=1.0, step=0.1)})
    assert grid.number({WEIGHT: 0.3}) == grid.number({WEIGHT: 0.1 + 0.2}) == 3


@given(st.sets(st.integers(0, 23)), st.integers(0, 99))
def test_one_is_drawn_of_those_that_are_left_and_none_of_none(tried, seed):
    grid = grid_of(SPACE)
    found = grid.one_left(tried, seed)
    assert (found is None) == (len(tried) == 24)
    assert found is None or grid.number(found) not in tried


def test_each_value_that_is_left_is_as_likely():
    grid = grid_of({HEADS: RangeParams(low=1, high=5)})
    drawn = [grid.one_left({0, 2}, seed)[HEADS] for seed in range(600)]
    assert all(150 < drawn.count(value) < 250 for value in (2, 4, 5)) and set(drawn) == {2, 4, 5}


def test_of_more_values_than_could_be_listed_one_is_drawn_at_once():
    many = RangeParams(low=1, high=10**6)
    names = [HEADS, "model.projection_dim", "model.metadata_encoder.dim", "training.sampler.lesions_per_patient"]
    grid = grid_of(dict.fromkeys(names, many))
    assert grid.size == 10**24
    assert grid.number(grid.one_left({0, 1, 10**24 - 1}, 0)) in range(2, 10**24 - 1)


def test_a_space_with_a_continuous_setting_is_no_grid():
    assert grid_of(SPACE | {"training.learning_rate": RangeParams(low=1e-4, high=1e-1, log=True)}) is None
