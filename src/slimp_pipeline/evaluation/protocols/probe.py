"""Linear probe: logistic regression on frozen features, its strength chosen inside the training patients."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from slimp_pipeline.evaluation.measures.calibration import fit_temperature
from slimp_pipeline.parameters import ProbeParams

_SMALL = 2000  # training rows


class Probe(NamedTuple):
    """What a probe gives.

    Attributes:
        score_NK: Probabilities of the test rows, 0 for classes without a training row.
        strength: The chosen strength.
        temperature: Of the log probabilities, fitted on held-out training patients; 1 where nothing is chosen.
    """

    score_NK: np.ndarray
    strength: float
    temperature: float


def linear_probe(
    feature_ND: np.ndarray,
    label_N: np.ndarray,
    patient_N: np.ndarray,
    train_N: np.ndarray,
    test_N: np.ndarray,
    num_classes: int,
    settings: ProbeParams,
    seed: int,
) -> Probe:
    """Fit on training rows, score test rows.

    The inverse penalty is the one of `settings.strengths` with the lowest class-weighted log loss over
    inner patient-grouped folds of the training rows (the stronger penalty on a tie): a proper score, which
    moves smoothly where the balanced accuracy of a few rare cases jumps. Classes are weighted inversely to
    their frequency. Both are our choice. With a single strength nothing is held out, and nothing calibrated.

    Raises:
        ValueError: If the training rows are all of one class.
    """
    features, labels, patients = feature_ND[train_N], label_N[train_N], patient_N[train_N]
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError("all training rows are of one class: there is nothing to tell apart")
    # Threads that wait for one another cost more than they save on matrices this small.
    with threadpool_limits(1 if len(labels) < _SMALL else None):
        # A linear model with an L2 penalty only sees the span of its training rows: rotating into it is exact.
        mean = features.mean(axis=0)
        _, _, basis = np.linalg.svd(features - mean, full_matrices=False)
        train, test = (features - mean) @ basis.T, (feature_ND[test_N] - mean) @ basis.T
        strength, temperature = _choose(train, labels, patients, num_classes, settings, seed)
        model = _fit(train, labels, strength)
        scores = np.zeros((int(test_N.sum()), num_classes))
        scores[:, model.classes_] = model.predict_proba(test)
    return Probe(scores, strength, temperature)


def _choose(
    features: np.ndarray, labels: np.ndarray, patients: np.ndarray, num_classes: int, settings: ProbeParams, seed: int
) -> tuple[float, float]:
    """Strength, and the temperature that calibrates it, by inner folds."""
    strengths = sorted(settings.strengths)
    num_folds = min(settings.num_inner_folds, len(np.unique(patients)), int(np.bincount(labels).max()))
    if len(strengths) == 1 or num_folds < 2:
        return strengths[0], 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are spread as they can be
        folds = list(StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(features, labels, patients))
    held_out = np.concatenate([test for train, test in folds if len(np.unique(labels[train])) > 1] or [[]]).astype(int)
    if not len(held_out):
        return strengths[0], 1.0
    score_SNK = np.zeros((len(strengths), len(labels), num_classes))
    for train, test in folds:
        if len(np.unique(labels[train])) < 2 or not len(test):
            continue
        for index, strength in enumerate(strengths):
            model = _fit(features[train], labels[train], strength)
            score_SNK[np.ix_([index], test, model.classes_)] = model.predict_proba(features[test])
    class_weights = 1 / np.maximum(np.bincount(labels), 1)
    losses = [_log_loss(score_NK[held_out], labels[held_out], class_weights) for score_NK in score_SNK]
    best = int(np.argmin(losses))
    return strengths[best], fit_temperature(score_SNK[best, held_out], labels[held_out])


def _log_loss(score_NK: np.ndarray, labels: np.ndarray, class_weights: np.ndarray) -> float:
    """Class-weighted log loss, summed; rows of a class that the model never saw count alike for every strength."""
    of_label = np.clip(score_NK[np.arange(len(labels)), labels], 1e-6, 1)
    return float(-(class_weights[labels] * np.log(of_label)).sum())


def _fit(features: np.ndarray, labels: np.ndarray, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties converge slowly; the folds judge them
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3).fit(features, labels)
