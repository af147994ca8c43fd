"""The bootstrap over patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.evaluation.measures.bootstrap import Weightings, interval, resampled


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(0, 100))
def test_a_patients_rows_come_together_and_as_many_patients_are_drawn_as_there_are(ids, seed):
    patients_N = np.array([f"p{i}" for i in ids])
    once, *drawn = resampled(patients_N, 7, seed)
    weights_RN = np.array(drawn)
    assert (once == 1).all() and weights_RN.shape == (7, len(ids))
    totals = np.zeros(7)
    for patient in set(patients_N):
        own = weights_RN[:, patients_N == patient]
        assert (own == own[:, :1]).all()
        totals += own[:, 0]
    assert (totals == len(set(ids))).all()


def test_the_same_seed_gives_the_same_draw_and_another_seed_another():
    patients_N = np.arange(30)
    first = resampled(patients_N, 5, (0, 1)).count_PR
    np.testing.assert_array_equal(first, resampled(patients_N, 5, (0, 1)).count_PR)
    assert (first != resampled(patients_N, 5, (0, 2)).count_PR).any()
    assert (first != resampled(patients_N, 5, (1, 1)).count_PR).any()


def test_the_interval_has_the_percentiles_of_the_bootstrap_values():
    values_R = np.arange(101.0)
    assert interval(50.0, values_R, 0.9) == pytest.approx((5, 95))


def test_the_interval_is_centred_on_the_measured_value():
    values_R = np.arange(101.0) + 7  # a bias of 7 on every resample
    assert interval(50.0, values_R, 0.9) == pytest.approx((5, 95))


def test_resamples_that_leave_nothing_to_measure_are_left_out():
    assert interval(1.0, np.array([np.nan, 0.0, 2.0, np.nan]), 0.9) == pytest.approx((0.1, 1.9))
    assert np.isnan(interval(np.nan, np.full(3, np.nan), 0.9)).all()


def test_intervals_of_a_mean_over_patients_cover_it():
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        patients_N = np.repeat(np.arange(60), 3)
        values_N = np.repeat(rng.normal(size=60), 3)  # a patient's rows are alike: rows alone would be too sure
        mean, *means = resampled(patients_N, 300, trial).mean(values_N)
        low, high = interval(mean, np.array(means), 0.95)
        covered += low <= 0 <= high
    assert 0.89 <= covered / 200 <= 0.99


@given(st.integers(0, 10**6))
def test_sums_and_means_of_chosen_rows_are_those_of_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    patients_N, value_N, group_N = rng.integers(0, 6, 25), rng.normal(size=25), rng.integers(0, 3, 25)
    chosen_N = rng.random(25) < 0.7
    value_N[rng.random(25) < 0.2] = np.nan
    known_N = chosen_N & ~np.isnan(value_N)
    weightings = resampled(patients_N, 4, seed)
    mean_R, sums_RC = (
        weightings[chosen_N].mean(value_N[chosen_N]),
        weightings[known_N].sums(value_N[known_N], group_N[known_N], 3),
    )
    for r, weight_N in enumerate(weightings):
        kept_N = weight_N * known_N
        for group in range(3):
            assert sums_RC[r, group] == pytest.approx(np.nansum(kept_N * value_N * (group_N == group)))
        expected = np.nansum(kept_N * value_N) / kept_N.sum() if kept_N.any() else np.nan
        assert mean_R[r] == pytest.approx(expected, nan_ok=True)


def test_weights_of_rows_are_their_own():
    weights_RN = np.array([[1.0, 0.0, 2.5], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(list(Weightings.of_rows(weights_RN)), weights_RN)
