"""Temperature scaling and reliability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from slimp_pipeline.evaluation.measures.bootstrap import Weightings
from slimp_pipeline.evaluation.measures.calibration import (
    fit_class_weights,
    fit_temperature,
    reliability,
    rescale,
    reweight,
)
from slimp_pipeline.evaluation.measures.metrics import expected_calibration_error


@st.composite
def scored(draw):
    seed, num_rows, num_classes = draw(st.integers(0, 10**6)), draw(st.integers(2, 40)), draw(st.integers(2, 5))
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(num_classes), num_rows), rng.integers(0, num_classes, num_rows)


@pytest.mark.parametrize("share_right", [0.6, 0.75, 0.9, 0.99])
def test_the_temperature_of_one_confidence_is_the_ratio_of_the_log_odds(share_right):
    score_NK = np.tile([0.9, 0.1], (100, 1))
    label_N = (np.arange(100) >= round(100 * share_right)).astype(int)
    expected = np.log(0.9 / 0.1) / np.log(share_right / (1 - share_right))
    temperature = fit_temperature(score_NK, label_N)
    assert temperature == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(rescale(score_NK, temperature)[0], [share_right, 1 - share_right], rtol=1e-4)


@pytest.mark.parametrize("spoilt_by", [0.5, 3.0])
def test_labels_drawn_from_the_scores_give_back_the_temperature_that_spoilt_them(spoilt_by):
    rng = np.random.default_rng(0)
    score_NK = rng.dirichlet(np.ones(4), 20_000)
    label_N = (rng.random((20_000, 1)) > score_NK.cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(score_NK, label_N) == pytest.approx(1, rel=0.05)
    assert fit_temperature(rescale(score_NK, 1 / spoilt_by), label_N) == pytest.approx(spoilt_by, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(scored())
def test_no_temperature_of_a_grid_has_a_lower_log_loss(case):
    score_NK, label_N = case
    classes = np.arange(score_NK.shape[1])

    def loss(temperature):
        return log_loss(label_N, rescale(score_NK, temperature), labels=classes)

    best = loss(fit_temperature(score_NK, label_N))
    assert all(best <= loss(temperature) + 1e-6 for temperature in np.geomspace(0.05, 50, 30))


@given(scored(), st.floats(0.5, 5), st.floats(0.5, 5))
def test_rescaling_keeps_the_order_and_composes(case, first, second):
    score_NK = 0.9 * case[0] + 0.1 / case[0].shape[1]  # far from the floor, at which powers stop to compose
    np.testing.assert_allclose(rescale(score_NK, 1.0), score_NK, atol=1e-9)
    warmer = rescale(score_NK, first)
    np.testing.assert_allclose(warmer.sum(axis=1), 1)
    assert (warmer.argmax(axis=1) == score_NK.argmax(axis=1)).all()
    np.testing.assert_allclose(rescale(warmer, second), rescale(score_NK, first * second), atol=1e-6)


def test_a_high_temperature_evens_out_and_a_low_one_decides():
    score_NK = np.array([[0.5, 0.3, 0.2]], dtype=np.float32)
    np.testing.assert_allclose(rescale(score_NK, 1e6), 1 / 3, atol=1e-5)
    np.testing.assert_allclose(rescale(score_NK, 0.01), [[1, 0, 0]], atol=1e-9)


def test_a_class_with_probability_0_keeps_it_and_leaves_the_loss_finite():
    score_NK, label_N = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]), np.array([0, 1, 2, 0])
    assert fit_temperature(score_NK, label_N) == 1  # no temperature changes a row of ones and zeros
    np.testing.assert_array_equal(rescale(score_NK, 5.0), score_NK)
    np.testing.assert_allclose(rescale(np.array([[0.8, 0.2, 0]]), 1e6), [[0.5, 0.5, 0]], atol=1e-5)


def test_scores_that_no_temperature_changes_keep_the_temperature_1():
    assert fit_temperature(np.full((6, 3), 1 / 3), np.array([0, 1, 2, 0, 0, 0])) == 1


def test_labels_of_a_single_class_have_a_temperature_within_bounds():
    score_NK = np.tile([0.6, 0.4], (5, 1))
    assert 0.01 <= fit_temperature(score_NK, np.zeros(5, dtype=int)) < 0.1
    assert 90 < fit_temperature(score_NK, np.ones(5, dtype=int)) <= 100


def test_reliability_by_hand():
    score_NK = np.array([[0.55, 0.45], [0.65, 0.35], [0.1, 0.9], [0.0, 1.0], [0.75, 0.25]])
    table = reliability(score_NK, np.array([0, 1, 1, 1, 0]), num_bins=4)
    assert list(table) == ["bin_low", "bin_high", "confidence", "accuracy", "num_rows"]
    np.testing.assert_allclose(table, [[0.5, 0.75, 0.6, 0.5, 2], [0.75, 1, (0.9 + 1 + 0.75) / 3, 1, 3]])


@given(scored())
def test_the_gaps_of_the_bins_add_up_to_the_calibration_error(case):
    score_NK, label_N = case
    table = reliability(score_NK, label_N)
    gap = (table["accuracy"] - table["confidence"]).abs()
    expected = expected_calibration_error(score_NK, label_N, Weightings.of_rows(np.ones((1, len(label_N)))))[0]
    assert (gap * table["num_rows"]).sum() / len(label_N) == pytest.approx(expected)
    assert table["num_rows"].sum() == len(label_N) and (table["num_rows"] > 0).all()
    assert table["confidence"].between(table["bin_low"] - 1e-9, table["bin_high"] + 1e-9).all()


@pytest.mark.parametrize(
    ("score_NK", "label_N", "message"),
    [
        ([[0.5, np.nan]], [0], "NaN"),
        ([[2.0, -1.0]], [0], "no probabilities"),
        ([[3.0, 1.0]], [0], "sum to 1"),
        ([[1.0]], [0], "two classes"),
        (np.empty((0, 2)), [], "one row"),
        ([[0.5, 0.5]], [2], "from 0 to 1"),
        ([[0.5, 0.5]], [0, 1], "1 class numbers"),
    ],
)
def test_what_is_no_probability_or_no_class_number_is_refused(score_NK, label_N, message):
    for function in (fit_temperature, reliability):
        with pytest.raises(ValueError, match=message):
            function(np.array(score_NK), np.array(label_N))


def test_settings_out_of_range_are_refused():
    score_NK = np.array([[0.5, 0.5]])
    for temperature in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="above 0"):
            rescale(score_NK, temperature)
    with pytest.raises(ValueError, match="at least one bin"):
        reliability(score_NK, np.array([0]), num_bins=0)


def test_class_weights_find_the_best_threshold_of_two_classes():
    rng = np.random.default_rng(0)
    label_N = (rng.random(400) < 0.1).astype(int)
    positive_N = np.clip(0.15 + 0.25 * label_N + rng.normal(0, 0.1, 400), 0.01, 0.99)
    score_NK = np.stack([1 - positive_N, positive_N], axis=1)
    weighted = reweight(score_NK, fit_class_weights(score_NK, label_N))
    best = max(f1_score(label_N, positive_N > threshold, average="macro") for threshold in np.unique(positive_N))
    found = f1_score(label_N, weighted.argmax(axis=1), average="macro")
    assert f1_score(label_N, score_NK.argmax(axis=1), average="macro") < 0.65 < best - 0.02 <= found
    assert weighted.sum(axis=1) == pytest.approx(np.ones(400))


@given(seed=st.integers(0, 50), num_classes=st.integers(2, 5))
def test_class_weights_are_never_worse_than_none_and_count_rows_as_they_weigh(seed, num_classes):
    rng = np.random.default_rng(seed)
    score_NK = rng.dirichlet(np.ones(num_classes), 30)
    label_N, count_N = rng.integers(0, num_classes, 30), rng.integers(1, 4, 30)
    weight_K = fit_class_weights(score_NK, label_N, count_N.astype(float))
    repeated = fit_class_weights(np.repeat(score_NK, count_N, axis=0), np.repeat(label_N, count_N))
    assert weight_K == pytest.approx(repeated)
    labels = {"average": "macro", "sample_weight": count_N, "zero_division": 0}
    plain = f1_score(label_N, score_NK.argmax(axis=1), **labels)
    assert f1_score(label_N, (score_NK * weight_K).argmax(axis=1), **labels) >= plain - 1e-12
