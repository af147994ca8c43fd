"""Many logistic regressions at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from slimp_pipeline.evaluation.protocols import logistic
from slimp_pipeline.evaluation.protocols.logistic import fit_logistic


def fitted(feature_ND, label_N, weight_BN, strengths, num_classes):
    return fit_logistic(
        torch.tensor(feature_ND, dtype=torch.float32),
        torch.tensor(label_N),
        torch.tensor(np.array(weight_BN), dtype=torch.float32),
        torch.tensor(strengths, dtype=torch.float32),
        num_classes,
    )


def probabilities(models, feature_ND):
    return models.probabilities(torch.tensor(feature_ND, dtype=torch.float32)).double().numpy()


def rows(num_rows, width, num_classes, seed):
    """Features with strong and weak directions, and a rare class."""
    rng = np.random.default_rng(seed)
    feature_ND = rng.normal(size=(num_rows, width)) * np.geomspace(1, 0.01, width) + rng.normal(size=width)
    score_NK = feature_ND @ rng.normal(size=(width, num_classes)) + rng.gumbel(size=(num_rows, num_classes))
    label_N = (score_NK - 1.5 * np.arange(num_classes)).argmax(axis=1)
    label_N[:num_classes] = np.arange(num_classes)
    return feature_ND, label_N


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("size", [(150, 12), (40, 90)])
def test_each_fit_is_that_of_scikit_learn_on_its_own_rows_and_penalty(size, num_classes):
    feature_ND, label_N = rows(*size, num_classes, seed=num_classes)
    rng = np.random.default_rng(1)
    weight_BN = rng.uniform(0.2, 3, (4, size[0])) * (rng.random((4, size[0])) < 0.8)
    weight_BN[:, :num_classes] = 1
    strengths = [0.01, 1.0, 30.0, 1000.0]
    models = fitted(feature_ND, label_N, weight_BN, strengths, num_classes)
    found = probabilities(models, feature_ND)
    for index, (weights, strength) in enumerate(zip(weight_BN, strengths, strict=True)):
        counted = weights > 0
        exact = LogisticRegression(C=strength, tol=1e-9, max_iter=50_000)
        exact.fit(feature_ND[counted], label_N[counted], weights[counted])
        expected = exact.predict_proba(feature_ND)
        assert np.abs(found[index] - expected)[counted].max() < 0.005
        assert np.abs(found[index] - expected).max() < (0.03 if strength > 100 else 0.005)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 30))
def test_a_fit_does_not_depend_on_those_beside_it(seed, num_classes, width):
    feature_ND, label_N = rows(30, width, num_classes, seed)
    weight_BN = np.random.default_rng(seed).uniform(0.5, 2, (3, 30))
    alone = fitted(feature_ND, label_N, weight_BN[:1], [3.0], num_classes)
    beside = fitted(feature_ND, label_N, weight_BN, [3.0, 0.01, 300.0], num_classes)
    assert len(beside) == 3
    difference = probabilities(alone, feature_ND)[0] - probabilities(beside.take(slice(0, 1)), feature_ND)[0]
    assert np.abs(difference).max() < 5e-3


def test_many_fits_are_solved_in_parts(monkeypatch):
    feature_ND, label_N = rows(40, 5, 3, seed=0)
    weight_BN, strengths = np.ones((7, 40)), [0.1, 1.0, 10.0, 0.1, 1.0, 10.0, 1.0]
    whole = fitted(feature_ND, label_N, weight_BN, strengths, 3)
    monkeypatch.setattr(logistic, "_MAX_LOGITS", 2 * 40 * 3)
    parts = fitted(feature_ND, label_N, weight_BN, strengths, 3)
    torch.testing.assert_close(parts.weight_BDK, whole.weight_BDK, atol=1e-3, rtol=1e-3)


def test_a_class_without_a_row_that_counts_has_no_chance():
    feature_ND, label_N = rows(60, 4, 3, seed=0)
    weights = np.where(label_N == 1, 0.0, 1.0)
    found = probabilities(fitted(feature_ND, label_N, [weights, np.ones(60)], [1.0, 1.0], 3), feature_ND)
    assert not found[0, :, 1].any() and found[1, :, 1].min() > 0
    np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_where_features_tell_nothing_the_intercept_gives_each_class_its_share_of_the_weight(num_classes):
    label_N = np.repeat(np.arange(num_classes), [6, 3, 1][:num_classes])
    found = probabilities(
        fitted(np.zeros((len(label_N), 2)), label_N, np.ones((1, len(label_N))), [1.0], num_classes), np.zeros((1, 2))
    )
    np.testing.assert_allclose(found[0, 0], np.bincount(label_N) / len(label_N), atol=1e-3)
