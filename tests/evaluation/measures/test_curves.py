"""Curves against scikit-learn, bands against weightings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_curve

from slimp_pipeline.evaluation.measures.bootstrap import Weightings, resampled
from slimp_pipeline.evaluation.measures.calibration import reliability
from slimp_pipeline.evaluation.measures.curves import (
    GRID,
    band,
    precision_curves,
    reliability_with_intervals,
    roc_curves,
)


@st.composite
def scored(draw):
    """Scores with ties, some of them positive, and whole weights."""
    rng, size = np.random.default_rng(draw(st.integers(0, 10**6))), draw(st.integers(4, 50))
    score_N = rng.integers(0, draw(st.integers(2, 12)), size) / 12
    positive_N = rng.random(size) < 0.4
    positive_N[:2] = True, False
    weight_N = rng.integers(0, 3, size)
    weight_N[:2] = 1
    return score_N, positive_N, weight_N


@given(scored())
def test_roc_agrees_with_scikit_learn(case):
    score_N, positive_N, weight_N = case
    (curve_G,) = roc_curves(score_N, positive_N, Weightings.of_rows(weight_N[None].astype(float)))
    fpr, tpr, _ = roc_curve(positive_N, score_N, sample_weight=weight_N, drop_intermediate=False)
    # Where the curve rises straight up, scikit-learn's points hold both ends; ours is one of them.
    for rate, found in zip(GRID, curve_G, strict=True):
        at = np.isclose(fpr, rate, atol=1e-9)
        low, high = (tpr[at].min(), tpr[at].max()) if at.any() else [np.interp(rate, fpr, tpr)] * 2
        assert low - 1e-6 <= found <= high + 1e-6


@given(scored())
def test_precision_is_that_of_the_highest_threshold_that_reaches_a_recall(case):
    score_N, positive_N, weight_N = case
    (curve_G,) = precision_curves(score_N, positive_N, Weightings.of_rows(weight_N[None].astype(float)))
    precision, recall, _ = precision_recall_curve(positive_N, score_N, sample_weight=weight_N)
    precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # from the highest threshold down
    for rate, found in zip(GRID, curve_G, strict=True):
        first = np.flatnonzero((recall >= rate - 1e-9) & (recall > 0))[0]
        assert found == pytest.approx(precision[first], abs=1e-6)


def test_precision_by_hand():
    score, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    (curve,) = precision_curves(score, positive, Weightings.of_rows(np.ones((1, 4))))
    assert (curve[:51] == 1).all() and np.allclose(curve[51:], 2 / 3)


def test_a_weighting_without_a_positive_has_no_curve():
    weightings = Weightings.of_rows(np.array([[1.0, 1], [0, 1]]))
    for curves in (roc_curves, precision_curves):
        whole, without = curves(np.array([0.9, 0.1]), np.array([True, False]), weightings)
        assert np.isfinite(whole).all() and np.isnan(without).all()


def test_a_band_holds_its_curve_and_narrows_with_patients():
    rng = np.random.default_rng(0)

    def width(num):
        positive = rng.random(num) < 0.5
        score = positive + rng.normal(0, 1, num)
        curves = roc_curves(score, positive, resampled(np.arange(num), 100, 0))
        mean, low, high = band(curves, 0.95)
        assert (low <= mean).all() and (mean <= high).all() and (low >= 0).all() and (high <= 1).all()
        return (high - low).mean()

    assert width(60) > 2 * width(1000)


def test_reliability_has_the_interval_of_each_bins_accuracy():
    # Ten patients of confidence 0.65, of which half are right; ten of 0.95, which all are.
    score = np.repeat([0.65, 0.95], 10)
    label = np.array([0, 1] * 5 + [0] * 10)
    scores = np.stack([score, 1 - score], axis=1)
    bins = reliability_with_intervals(scores, label, 10, resampled(np.arange(20), 500, 0), 0.95)
    plain = reliability(scores, label, 10)
    assert bins[list(plain)].equals(plain)
    assert bins["ci_low"][0] < 0.35 and bins["ci_high"][0] > 0.65
    assert (bins["ci_low"][1], bins["ci_high"][1]) == (1, 1)
