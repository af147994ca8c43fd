"""Calibration of class probabilities: temperature, class weights for macro-F1, the reliability diagram's numbers."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
_CLASS_WEIGHTS = np.exp(np.linspace(-4, 4, 65))  # that are tried for each class in turn
_ROUNDS = 3
_LOG_FLOOR = np.log(1e-12)  # a row of a class that was never trained on costs this much at every temperature


def fit_temperature(score_NK: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray | None = None) -> float:
    """Temperature of the log probabilities that minimises log loss.

    Fit it on rows that the classifier was not trained on; on training rows it flatters them.

    Args:
        score_NK: Class probabilities, float (N, K), N >= 1, K >= 2.
        label_N: Class numbers, int (N,), 0..K-1.
        weight_N: How much each row counts; None: all alike.

    Returns:
        Between 0.01 and 100: above 1 where the probabilities are too sure, below where they are too timid; 1 where
        no temperature does better.

    Raises:
        ValueError: If the scores are no probabilities, or the labels don't fit them.

    Source:
        Guo et al. 2017, arXiv:1706.04599.
    """
    _check(score_NK, label_N)

    def log_loss(log_temperature: float) -> float:
        log_score_NK = _log_rescaled(score_NK, float(np.exp(log_temperature)))
        return float(
            -np.average(np.maximum(log_score_NK[np.arange(len(label_N)), label_N], _LOG_FLOOR), weights=weight_N)
        )

    bounds = np.log([MIN_TEMPERATURE, MAX_TEMPERATURE])
    best = minimize_scalar(log_loss, bounds=bounds, method="bounded")
    return float(np.exp(best.x)) if best.fun < log_loss(0.0) else 1.0


def rescale(score_NK: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities at another temperature: softmax(log(score) / temperature), float64 (N, K).

    A row's order of classes stays as it is, and a probability of 0 stays 0.

    Raises:
        ValueError: If the scores are no probabilities, or the temperature isn't above 0.
    """
    _check(score_NK)
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature is {temperature}: it must be finite and above 0")
    return np.exp(_log_rescaled(score_NK, temperature))


def fit_class_weights(score_NK: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray | None = None) -> np.ndarray:
    """Weights of the classes with which the most probable class has the best macro-F1.

    Classes take turns: each is given the best of a set of weights while the others keep theirs. That is no global
    optimum, but never worse than weights of 1. Fit them on rows that the classifier was not trained on.

    Args:
        score_NK: Class probabilities, float (N, K), N >= 1, K >= 2.
        label_N: Class numbers, int (N,), 0..K-1.
        weight_N: How much each row counts; None: all alike.

    Returns:
        float (K,), above 0; 1 for a class without a row.

    Raises:
        ValueError: If the scores are no probabilities, or the labels don't fit them.
    """
    _check(score_NK, label_N)
    counts_N = np.ones(len(label_N)) if weight_N is None else weight_N
    weight_K = np.ones(score_NK.shape[1])
    best = _macro_f1(score_NK, label_N, counts_N)
    for _ in range(_ROUNDS):
        before = best
        for k in np.unique(label_N):
            for weight in _CLASS_WEIGHTS:
                tried_K = weight_K.copy()
                tried_K[k] = weight
                found = _macro_f1(score_NK * tried_K, label_N, counts_N)
                if found > best:
                    best, weight_K = found, tried_K
        if best == before:
            break
    return weight_K


def reweight(score_NK: np.ndarray, weight_K: np.ndarray) -> np.ndarray:
    """Class probabilities times class weights, float64 (N, K), rows sum to 1."""
    weighted_NK = score_NK.astype(np.float64) * weight_K
    return weighted_NK / weighted_NK.sum(axis=1, keepdims=True)


def _macro_f1(score_NK: np.ndarray, label_N: np.ndarray, counts_N: np.ndarray) -> float:
    """Mean F1 over the classes that are there or are predicted, as `metrics.macro_f1`."""
    num_classes, predicted_N = score_NK.shape[1], score_NK.argmax(axis=1)
    hit_K = np.bincount(label_N, counts_N * (predicted_N == label_N), num_classes)
    total_K = np.bincount(label_N, counts_N, num_classes) + np.bincount(predicted_N, counts_N, num_classes)
    return float((2 * hit_K[total_K > 0] / total_K[total_K > 0]).mean())


def reliability(score_NK: np.ndarray, label_N: np.ndarray, num_bins: int = 15) -> pd.DataFrame:
    """Confidence and accuracy of the predicted class, in equal bins of confidence.

    Args:
        score_NK: Class probabilities, float (N, K).
        label_N: Class numbers, int (N,), 0..K-1.
        num_bins: Bins between 0 and 1; a confidence on an edge belongs to the upper bin.

    Returns:
        bin_low, bin_high, confidence (mean), accuracy, num_rows; bins without rows are left out.

    Raises:
        ValueError: If the scores are no probabilities, the labels don't fit them, or num_bins < 1.

    Source:
        Guo et al. 2017, arXiv:1706.04599, section 2.
    """
    _check(score_NK, label_N)
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}: at least one bin is needed")
    confidence_N = score_NK.max(axis=1).astype(np.float64)
    bin_N = np.clip((confidence_N * num_bins).astype(int), 0, num_bins - 1)
    table = pd.DataFrame({"confidence": confidence_N, "accuracy": score_NK.argmax(axis=1) == label_N})
    bins = table.groupby(bin_N).agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), num_rows=("accuracy", "size")
    )
    bins.insert(0, "bin_low", bins.index / num_bins)
    bins.insert(1, "bin_high", (bins.index + 1) / num_bins)
    return bins.reset_index(drop=True)


def _log_rescaled(score_NK: np.ndarray, temperature: float) -> np.ndarray:
    with np.errstate(divide="ignore"):  # a class of probability 0 keeps it
        return log_softmax(np.log(score_NK.astype(np.float64)) / temperature, axis=1)


def _check(score_NK: np.ndarray, label_N: np.ndarray | None = None) -> None:
    if score_NK.ndim != 2 or len(score_NK) < 1 or score_NK.shape[1] < 2:
        raise ValueError(f"scores have shape {score_NK.shape}: at least one row and two classes are needed")
    if not ((score_NK >= 0).all() and np.allclose(score_NK.sum(axis=1), 1, atol=1e-3)):  # NaN compares false
        raise ValueError("scores are no probabilities: each row must be at least 0, sum to 1 and hold no NaN")
    if label_N is None:
        return
    if label_N.shape != (len(score_NK),) or not np.isin(label_N, np.arange(score_NK.shape[1])).all():
        raise ValueError(f"labels must be {len(score_NK)} class numbers from 0 to {score_NK.shape[1] - 1}")
