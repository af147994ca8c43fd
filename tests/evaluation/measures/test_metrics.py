"""Metrics against scikit-learn, hand-computed numbers and the challenge's formula."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from slimp_pipeline.evaluation.measures import metrics
from slimp_pipeline.evaluation.measures.bootstrap import Weightings, resampled

K = 4
RELATIVE = {"rel": 1e-9, "abs": 1e-12}


@st.composite
def scored(draw):
    """Scores with ties, labels of K classes, integer weights."""
    seed, size = draw(st.integers(0, 10**6)), draw(st.integers(5, 60))
    rng = np.random.default_rng(seed)
    score_NK = rng.integers(1, draw(st.integers(2, 9)), (size, K)).astype(float)
    return score_NK / score_NK.sum(axis=1, keepdims=True), rng.integers(0, K, size), rng.integers(0, 4, size)


def ones(size):
    return Weightings.of_rows(np.ones((1, size)))


def weighted_by(weight_N):
    return Weightings.of_rows(weight_N[None].astype(float))


@given(scored())
def test_balanced_accuracy_and_macro_f1_agree_with_scikit_learn(case):
    score_NK, label_N, weight_N = case
    predicted_N, counted = score_NK.argmax(axis=1), weight_N > 0
    if not counted.any():
        return
    confusion = metrics.confusion(predicted_N, label_N, K, weighted_by(weight_N))
    there = [k for k in range(K) if ((label_N == k) | (predicted_N == k))[counted].any()]
    truth, guess, weight = label_N[counted], predicted_N[counted], weight_N[counted]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted but never true
        expected = balanced_accuracy_score(truth, guess, sample_weight=weight)
    assert metrics.balanced_accuracy(confusion)[0] == pytest.approx(expected, **RELATIVE)
    expected = f1_score(truth, guess, labels=there, average="macro", sample_weight=weight, zero_division=0)
    assert metrics.macro_f1(confusion)[0] == pytest.approx(expected, **RELATIVE)


@given(scored())
def test_auroc_and_average_precision_agree_with_scikit_learn(case):
    score_NK, label_N, weight_N = case
    positive_N, weights_RN = label_N == 0, weighted_by(weight_N)
    if weight_N[positive_N].sum() == 0 or weight_N[~positive_N].sum() == 0:
        return
    arguments = (score_NK[:, 0], positive_N, weights_RN)
    expected = roc_auc_score(positive_N, score_NK[:, 0], sample_weight=weight_N)
    assert metrics.auroc(*arguments)[0] == pytest.approx(expected, **RELATIVE)
    expected = average_precision_score(positive_N, score_NK[:, 0], sample_weight=weight_N)
    assert metrics.average_precision(*arguments)[0] == pytest.approx(expected, **RELATIVE)


def challenge_pauc(positive_N, score_N, weight_N=None, min_tpr=0.8):
    """The ISIC 2024 formula: max_fpr on flipped labels and scores, rescaled from McClish's standardisation."""
    flipped, max_fpr = 1 - positive_N.astype(int), 1 - min_tpr
    scaled = roc_auc_score(flipped, -score_N, max_fpr=max_fpr, sample_weight=weight_N)
    return 0.5 * max_fpr**2 + (max_fpr - 0.5 * max_fpr**2) / (1.0 - 0.5) * (scaled - 0.5)


@given(scored())
def test_pauc_agrees_with_the_challenge(case):
    score_NK, label_N, weight_N = case
    positive_N = label_N == 0
    if weight_N[positive_N].sum() == 0 or weight_N[~positive_N].sum() == 0:
        return
    value = metrics.pauc_above_tpr(score_NK[:, 0], positive_N, weighted_by(weight_N))[0]
    assert value == pytest.approx(challenge_pauc(positive_N, score_NK[:, 0], weight_N), rel=1e-9, abs=1e-9)


def test_pauc_of_a_perfect_a_reversed_and_an_uninformed_score():
    positive_N = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    score_N = np.array([6, 5, 4, 3, 2, 1.0])
    assert metrics.pauc_above_tpr(score_N, positive_N, ones(6))[0] == pytest.approx(0.2)
    assert metrics.pauc_above_tpr(-score_N, positive_N, ones(6))[0] == pytest.approx(0.0)
    assert metrics.pauc_above_tpr(np.zeros(6), positive_N, ones(6))[0] == pytest.approx(0.02)


def test_pauc_by_hand():
    # Five positives, four negatives; from the highest score: + + + + - - + - -
    # TPR passes 0.8 at FPR 0.5 and goes straight up to 1: above the line lies 0.2 high, 1 - 0.5 wide.
    positive_N = np.array([1, 1, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    assert metrics.pauc_above_tpr(np.arange(9, 0, -1.0), positive_N, ones(9))[0] == pytest.approx(0.1)


def test_pauc_of_a_tie_that_crosses_the_line_by_hand():
    # One positive on top, then one positive and one negative tied: from (0, 0.5) straight to (1, 1).
    # TPR 0.8 is passed at FPR 0.6: a triangle 0.4 wide, 0.2 high.
    score_N, positive_N = np.array([2, 1, 1.0]), np.array([True, True, False])
    assert metrics.pauc_above_tpr(score_N, positive_N, ones(3))[0] == pytest.approx(0.04)


def test_sensitivity_at_a_fixed_specificity_by_hand():
    # 20 negatives scored 1..20, positives at 30, 19.5, 5: one false positive in 20 is the limit.
    score_N = np.concatenate([np.arange(1, 21), [30, 19.5, 5.0]])
    positive_N = np.arange(23) >= 20
    assert metrics.sensitivity_at_specificity(score_N, positive_N, ones(23))[0] == pytest.approx(2 / 3)
    assert metrics.sensitivity_at_specificity(score_N, positive_N, ones(23), 1.0)[0] == pytest.approx(1 / 3)
    assert metrics.sensitivity_at_specificity(score_N, positive_N, ones(23), 0.0)[0] == pytest.approx(1.0)


def test_calibration_error_by_hand():
    # 0.9 (bin 13) twice, right once: gap 0.4. 0.6 (bin 9) twice, right twice: gap 0.4. 1.0 (last bin): no gap.
    score_NK = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [1.0, 0.0]])
    label_N = np.array([0, 1, 0, 0, 0])
    assert metrics.expected_calibration_error(score_NK, label_N, ones(5))[0] == pytest.approx((2 * 0.4 + 2 * 0.4) / 5)


def test_a_class_without_rows_counts_neither_in_recall_nor_in_auroc():
    score_NK = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    label_N = np.array([0, 1, 1])
    values = metrics.classification_metrics(score_NK, label_N, np.zeros(3, dtype=bool), ones(3))
    assert values["balanced_accuracy"][0] == pytest.approx((1 + 0.5) / 2)
    assert values["macro_auroc"][0] == pytest.approx(1.0)
    assert values["macro_f1"][0] == pytest.approx((2 / 3 + 2 / 3) / 2)


@pytest.mark.parametrize("positive", [True, False])
def test_ranking_metrics_of_one_kind_of_row_are_not_a_number(positive):
    score_N, positive_N = np.array([0.1, 0.5, 0.9]), np.full(3, positive)
    assert np.isnan(metrics.auroc(score_N, positive_N, ones(3))[0])
    assert np.isnan(metrics.pauc_above_tpr(score_N, positive_N, ones(3))[0])
    assert np.isnan(metrics.sensitivity_at_specificity(score_N, positive_N, ones(3))[0])
    assert np.isnan(metrics.average_precision(score_N, positive_N, ones(3))[0]) != positive


def test_malignancy_metrics_are_there_only_where_some_classes_are_malignant():
    score_NK, label_N = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0, 1])
    some = metrics.classification_metrics(score_NK, label_N, np.array([False, True]), ones(2))
    assert some["malignant_auroc"][0] == 1 and some["pauc_above_80_tpr"][0] == pytest.approx(0.2)
    for malignant in (False, True):
        values = metrics.classification_metrics(score_NK, label_N, np.full(2, malignant), ones(2))
        assert "malignant_auroc" not in values


@settings(max_examples=50)
@given(scored())
def test_a_weight_of_n_is_the_row_n_times(case):
    score_NK, label_N, weight_N = case
    if not weight_N.any():
        return
    malignant_K = np.array([True, False, True, False])
    weighted = metrics.classification_metrics(score_NK, label_N, malignant_K, weighted_by(weight_N))
    rows = np.repeat(np.arange(len(label_N)), weight_N)
    repeated = metrics.classification_metrics(score_NK[rows], label_N[rows], malignant_K, ones(len(rows)))
    for name, value in repeated.items():
        assert weighted[name][0] == pytest.approx(value[0], nan_ok=True, **RELATIVE), name


def test_many_weightings_at_once_equal_one_at_a_time():
    rng = np.random.default_rng(0)
    score_NK, label_N = rng.dirichlet(np.ones(K), 30), rng.integers(0, K, 30)
    weights_RN, malignant_K = rng.integers(0, 3, (6, 30)).astype(float), np.array([True, False, False, False])
    together = metrics.classification_metrics(score_NK, label_N, malignant_K, Weightings.of_rows(weights_RN))
    for row, weight_N in enumerate(weights_RN):
        alone = metrics.classification_metrics(score_NK, label_N, malignant_K, weighted_by(weight_N))
        for name in together:
            np.testing.assert_allclose(together[name][row], alone[name][0])


def test_rows_of_a_class_that_is_neither_malignant_nor_benign_are_in_no_malignancy_metric():
    score_NK = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
    label_N, malignant_K = np.array([0, 1, 2, 2]), np.array([1, 0, -1])
    values = metrics.classification_metrics(score_NK, label_N, malignant_K, ones(4))
    decided = metrics.classification_metrics(score_NK[:2], label_N[:2], malignant_K, ones(2))
    for name in ("malignant_auroc", "malignant_average_precision", "pauc_above_80_tpr"):
        assert values[name] == decided[name]
    assert values["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert "malignant_auroc" not in metrics.classification_metrics(score_NK, label_N, np.array([1, -1, -1]), ones(4))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_many_rows_on_many_resamples_agree_with_scikit_learn_to_single_precision(share, monkeypatch):
    rng = np.random.default_rng(1)
    positive_N, patients_N = rng.random(5000) < share, rng.integers(0, 400, 5000)
    score_N = np.round(rng.normal(size=5000) + positive_N, rng.integers(1, 6))
    score_NK = np.stack([-score_N, score_N], axis=1)
    monkeypatch.setattr(metrics, "_BLOCK", 3000)  # several blocks
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    weightings = resampled(patients_N, 12, 0)
    values = metrics.classification_metrics(score_NK, positive_N.astype(int), np.array([0, 1]), weightings)
    for r, weight_N in enumerate(weightings):
        expected = {
            "malignant_auroc": roc_auc_score(positive_N, score_N, sample_weight=weight_N),
            "malignant_average_precision": average_precision_score(positive_N, score_N, sample_weight=weight_N),
            "pauc_above_80_tpr": challenge_pauc(positive_N, score_N, weight_N),
        }
        for name, value in expected.items():
            assert values[name][r] == pytest.approx(value, rel=2e-6, abs=2e-6), name
        assert values["macro_auroc"][r] == pytest.approx(expected["malignant_auroc"], rel=2e-6)
        benign = average_precision_score(~positive_N, -score_N, sample_weight=weight_N)
        both = (expected["malignant_average_precision"] + benign) / 2
        assert values["average_precision"][r] == pytest.approx(both, rel=2e-6)


def test_rows_surely_of_the_other_class_are_still_ranked():
    # 1 - p is 1 for both benign rows in double precision; p itself tells them apart.
    score_N = np.array([1e-20, 1e-18, 1e-19, 0.5])
    positive_N = np.array([False, False, True, True])
    values = metrics.classification_metrics(
        np.stack([1 - score_N, score_N], axis=1), positive_N.astype(int), np.array([0, 1]), ones(4)
    )
    assert values["macro_auroc"] == values["malignant_auroc"] == pytest.approx(3 / 4)
