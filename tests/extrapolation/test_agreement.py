"""Agreement of two columns, against scikit-learn, scipy and slow loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from slimp_pipeline.evaluation.measures.bootstrap import Weightings
from slimp_pipeline.extrapolation.agreement import as_numbers, chance, expected_absolute_error, measures


@st.composite
def weighted_pairs(draw):
    """Pairs with ties and whole-number weights, at least three pairs counted."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    size = draw(st.integers(3, 30))
    borrowed_N, truth_N = rng.integers(0, draw(st.integers(2, 9)), (2, size)).astype(float)
    weight_N = rng.integers(0, 4, size)
    weight_N[:3] += 1
    return borrowed_N, truth_N, weight_N


@given(weighted_pairs())
def test_a_weight_of_n_is_the_pair_n_times(case):
    borrowed_N, truth_N, weight_N = case
    rows = np.repeat(np.arange(len(truth_N)), weight_N)
    borrowed, truth, weightings = borrowed_N[rows], truth_N[rows], Weightings.of_rows(weight_N[None].astype(float))
    numbers = measures("numeric", borrowed_N, truth_N, weightings)
    names = measures("categorical", borrowed_N, truth_N, weightings)
    assert numbers["mean_absolute_error"][0] == pytest.approx(np.abs(borrowed - truth).mean())
    assert names["accuracy"][0] == pytest.approx((borrowed == truth).mean())
    constant = len(set(borrowed)) == 1, len(set(truth)) == 1
    if any(constant):
        assert np.isnan(numbers["spearman"][0])
    else:
        assert numbers["spearman"][0] == pytest.approx(spearmanr(borrowed, truth).statistic)
    if all(constant) and (borrowed == truth).all():
        assert np.isnan(names["kappa"][0])
    else:
        assert names["kappa"][0] == pytest.approx(cohen_kappa_score(borrowed, truth), abs=1e-12)


def test_kappa_by_hand():
    # 20 and 15 of 50 agree on yes and no; marginals 25/50 and 30/50 yes: kappa (0.7 - 0.5) / (1 - 0.5).
    borrowed_N = np.repeat([1, 1, 0, 0], [20, 5, 10, 15]).astype(float)
    truth_N = np.repeat([1, 0, 1, 0], [20, 5, 10, 15]).astype(float)
    value = measures("categorical", borrowed_N, truth_N, Weightings.of_rows(np.ones((1, 50))))
    assert value["accuracy"][0] == pytest.approx(0.7) and value["kappa"][0] == pytest.approx(0.4)


def test_a_weighting_without_weight_leaves_nothing_to_measure():
    for kind in ("numeric", "checkbox"):
        weightings = Weightings.of_rows(np.array([[0.0, 0, 0], [1, 1, 1]]))
        for value_R in measures(kind, np.arange(3.0), np.arange(3.0), weightings).values():
            assert np.isnan(value_R).tolist() == [True, False]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9), st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_chance_equals_a_slow_loop_over_all_pairs(truth, reference):
    truth_N, reference_R = np.array(truth, dtype=float), np.array(reference, dtype=float)
    errors = [abs(t - r) for t in truth for r in reference]
    matches = [t == r for t in truth for r in reference]
    assert chance("numeric", truth_N, reference_R) == {
        "mean_absolute_error": pytest.approx(np.mean(errors)),
        "spearman": 0,
    }
    assert chance("categorical", truth_N, reference_R) == {"accuracy": pytest.approx(np.mean(matches)), "kappa": 0}


def test_chance_is_what_random_reference_rows_give_on_average():
    rng = np.random.default_rng(0)
    truth_N, reference_R = rng.normal(size=200), rng.normal(1, 2, 300)
    drawn = [np.abs(rng.choice(reference_R, 200) - truth_N).mean() for _ in range(400)]
    assert expected_absolute_error(truth_N, reference_R).mean() == pytest.approx(np.mean(drawn), rel=0.01)


def test_chance_without_a_reference_value_is_not_a_number_or_nothing():
    assert np.isnan(chance("numeric", np.ones(2), np.empty(0))["mean_absolute_error"])
    assert chance("categorical", np.ones(2), np.empty(0))["accuracy"] == 0


def test_equal_categories_have_equal_codes_across_columns_of_any_type():
    text = as_numbers("categorical", pd.Series(["a", None, "b"]), pd.Series(pd.Categorical(["b", "a"])))
    assert text[0][0] == text[1][1] != text[0][2] == text[1][0] and np.isnan(text[0][1])
    boxes = as_numbers("checkbox", pd.Series([True, False]), pd.Series([False, None, True], dtype="boolean"))
    assert boxes[0][0] == boxes[1][2] != boxes[0][1] == boxes[1][0] and np.isnan(boxes[1][1])


def test_numbers_stay_as_they_are():
    values = as_numbers("numeric", pd.Series([1, 2]), pd.Series([1.5, None], dtype="Float64"))
    np.testing.assert_array_equal(values[0], [1, 2])
    np.testing.assert_array_equal(values[1], [1.5, np.nan])
