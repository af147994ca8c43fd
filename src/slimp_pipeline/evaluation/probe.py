"""Linear probe: logistic regression on frozen features, its strength chosen inside the training patients."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from slimp_pipeline.parameters import ProbeParams


def linear_probe(
    feature_ND: np.ndarray,
    label_N: np.ndarray,
    patient_N: np.ndarray,
    train_N: np.ndarray,
    test_N: np.ndarray,
    num_classes: int,
    settings: ProbeParams,
    seed: int,
) -> tuple[np.ndarray, float]:
    """Fit on training rows, score test rows.

    The inverse penalty is the one of `settings.strengths` with the lowest class-weighted log loss over
    inner patient-grouped folds of the training rows (the stronger penalty on a tie): a proper score, which
    moves smoothly where the balanced accuracy of a few rare cases jumps. Classes are weighted inversely to
    their frequency. Both are our choice.

    Returns:
        Probabilities of the test rows, float (num_test, num_classes), 0 for classes without a training
        row; and the chosen strength.

    Raises:
        ValueError: If the training rows are all of one class.
    """
    features, labels, patients = feature_ND[train_N], label_N[train_N], patient_N[train_N]
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError("all training rows are of one class: there is nothing to tell apart")
    # A linear model with an L2 penalty only sees the span of its training rows: rotating into it is exact.
    mean = features.mean(axis=0)
    _, _, basis = np.linalg.svd(features - mean, full_matrices=False)
    train, test = (features - mean) @ basis.T, (feature_ND[test_N] - mean) @ basis.T
    strength = _choose_strength(train, labels, patients, settings, seed)
    model = _fit(train, labels, strength)
    scores = np.zeros((int(test_N.sum()), num_classes))
    scores[:, model.classes_] = model.predict_proba(test)
    return scores, strength


def _choose_strength(
    features: np.ndarray, labels: np.ndarray, patients: np.ndarray, settings: ProbeParams, seed: int
) -> float:
    strengths = sorted(settings.strengths)
    num_folds = min(settings.num_inner_folds, len(np.unique(patients)), int(np.bincount(labels).max()))
    if len(strengths) == 1 or num_folds < 2:
        return strengths[0]
    losses = np.zeros(len(strengths))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are spread as they can be
        folds = list(StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(features, labels, patients))
    class_weights = 1 / np.maximum(np.bincount(labels), 1)
    for train, test in folds:
        if len(np.unique(labels[train])) < 2 or not len(test):
            continue
        for index, strength in enumerate(strengths):
            model = _fit(features[train], labels[train], strength)
            losses[index] += _log_loss(model, features[test], labels[test], class_weights)
    return strengths[int(np.argmin(losses))]


def _log_loss(model: LogisticRegression, features: np.ndarray, labels: np.ndarray, class_weights: np.ndarray) -> float:
    """Class-weighted log loss, summed; rows of a class that the model never saw count alike for every strength."""
    probability = np.zeros((len(labels), len(class_weights)))
    probability[:, model.classes_] = model.predict_proba(features)
    of_label = np.clip(probability[np.arange(len(labels)), labels], 1e-6, 1)
    return float(-(class_weights[labels] * np.log(of_label)).sum())


def _fit(features: np.ndarray, labels: np.ndarray, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties converge slowly; the folds judge them
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3).fit(features, labels)
