"""Metrics of a classifier, for many weightings of the same rows at once.

A weighting says how often each row counts: ones for the plain value, counts of a bootstrap for its
interval. Every function takes weights_RN, (R, N) float >= 0, and returns (R,) float: NaN where a
weighting leaves nothing to measure.
"""

import numpy as np

Weighted = np.ndarray
Counts = tuple[np.ndarray, np.ndarray]  # weight of positives and of negatives at or above each distinct score, (R, G)
MIN_TPR = 0.8
FIXED_SPECIFICITY = 0.95
_NUM_BINS = 15


def classification_metrics(
    score_NK: np.ndarray, label_N: np.ndarray, malignant_K: np.ndarray, weights_RN: np.ndarray
) -> dict[str, np.ndarray]:
    """Return all metrics by name.

    Args:
        score_NK: Class probabilities.
        label_N: Class numbers, 0..K-1.
        malignant_K: 1 where a class is malignant, 0 where benign, -1 where neither: such rows are in no malignancy
            metric. Without classes of both kinds those metrics are left out.
        weights_RN: How often each row counts, in each of R weightings.
    """
    predicted_N = score_NK.argmax(axis=1)
    confusion_RKK = confusion(predicted_N, label_N, score_NK.shape[1], weights_RN)
    values = {
        "balanced_accuracy": balanced_accuracy(confusion_RKK),
        "macro_f1": macro_f1(confusion_RKK),
        **_one_vs_rest(score_NK, label_N, weights_RN),
        "ece": expected_calibration_error(score_NK, label_N, weights_RN),
    }
    is_malignant_K = malignant_K == 1
    if is_malignant_K.any() and (malignant_K == 0).any():
        score_N, positive_N = score_NK[:, is_malignant_K].sum(axis=1), is_malignant_K[label_N]
        counts = _cumulative(score_N, positive_N, weights_RN * (malignant_K[label_N] != -1))
        values |= {
            "malignant_auroc": _auroc(counts),
            "malignant_average_precision": _average_precision(counts),
            "pauc_above_80_tpr": _pauc_above_tpr(counts, MIN_TPR),
            "sensitivity_at_95_specificity": _sensitivity_at_specificity(counts, FIXED_SPECIFICITY),
        }
    return values


def confusion(predicted_N: np.ndarray, label_N: np.ndarray, num_classes: int, weights_RN: np.ndarray) -> np.ndarray:
    """Confusion counts (R, K, K): true class by row, predicted class by column."""
    cell_N = label_N * num_classes + predicted_N
    one_hot_NC = np.eye(num_classes**2)[cell_N]
    return (weights_RN @ one_hot_NC).reshape(-1, num_classes, num_classes)


def balanced_accuracy(confusion_RKK: np.ndarray) -> Weighted:
    """Mean recall over the classes that are there."""
    support_RK = confusion_RKK.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall_RK = np.diagonal(confusion_RKK, axis1=1, axis2=2) / support_RK
    return _nanmean(np.where(support_RK > 0, recall_RK, np.nan))


def macro_f1(confusion_RKK: np.ndarray) -> Weighted:
    """Mean F1 over the classes that are there or are predicted."""
    hit_RK = np.diagonal(confusion_RKK, axis1=1, axis2=2)
    total_RK = confusion_RKK.sum(axis=2) + confusion_RKK.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nanmean(np.where(total_RK > 0, 2 * hit_RK / total_RK, np.nan))


def auroc(score_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> Weighted:
    """Area under the ROC curve; ties count half."""
    return _auroc(_cumulative(score_N, positive_N, weights_RN))


def _auroc(counts: Counts) -> Weighted:
    fpr, tpr = _rates(counts)
    return np.sum(np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2, axis=1)


def average_precision(score_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> Weighted:
    """Precision averaged over the steps in recall, without interpolation."""
    return _average_precision(_cumulative(score_N, positive_N, weights_RN))


def _average_precision(counts: Counts) -> Weighted:
    true_RG, false_RG = counts
    with np.errstate(invalid="ignore", divide="ignore"):
        recall_RG = true_RG / true_RG[:, -1:]
        precision_RG = true_RG / (true_RG + false_RG)
    steps_RG = np.diff(recall_RG, axis=1, prepend=0)
    value_R = np.sum(np.where(steps_RG > 0, steps_RG * precision_RG, 0), axis=1)
    return np.where(true_RG[:, -1] > 0, value_R, np.nan)


def pauc_above_tpr(
    score_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray, min_tpr: float = MIN_TPR
) -> Weighted:
    """Area between the ROC curve and the line TPR = min_tpr: 0 to 1 - min_tpr.

    Source:
        ISIC 2024 challenge (pAUC above 80 % TPR, range 0 to 0.2).
    """
    return _pauc_above_tpr(_cumulative(score_N, positive_N, weights_RN), min_tpr)


def _pauc_above_tpr(counts: Counts, min_tpr: float) -> Weighted:
    fpr, tpr = _rates(counts)
    fpr0, fpr1, tpr0, tpr1 = fpr[:, :-1], fpr[:, 1:], tpr[:, :-1], tpr[:, 1:]
    from_tpr = np.clip(tpr0, min_tpr, None)
    rise = tpr1 - tpr0
    with np.errstate(invalid="ignore", divide="ignore"):
        from_fpr = np.where(rise > 0, fpr0 + (from_tpr - tpr0) / rise * (fpr1 - fpr0), fpr0)
    area = np.where(tpr1 > from_tpr, (tpr1 - from_tpr) * (1 - (from_fpr + fpr1) / 2), 0)
    return np.where(np.isnan(fpr[:, -1] + tpr[:, -1]), np.nan, area.sum(axis=1))


def sensitivity_at_specificity(
    score_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray, specificity: float = FIXED_SPECIFICITY
) -> Weighted:
    """Highest sensitivity of a threshold whose specificity is at least that given."""
    return _sensitivity_at_specificity(_cumulative(score_N, positive_N, weights_RN), specificity)


def _sensitivity_at_specificity(counts: Counts, specificity: float) -> Weighted:
    fpr, tpr = _rates(counts)
    best = np.max(np.where(fpr <= 1 - specificity + 1e-12, tpr, 0), axis=1)
    return np.where(np.isnan(fpr[:, -1] + tpr[:, -1]), np.nan, best)


def expected_calibration_error(score_NK: np.ndarray, label_N: np.ndarray, weights_RN: np.ndarray) -> Weighted:
    """Mean gap between confidence and accuracy over 15 equal bins of confidence.

    Source:
        Guo et al. 2017, arXiv:1706.04599.
    """
    confidence_N = score_NK.max(axis=1)
    gap_N = (score_NK.argmax(axis=1) == label_N) - confidence_N
    bin_N = np.clip((confidence_N * _NUM_BINS).astype(int), 0, _NUM_BINS - 1)
    sums_RB = weights_RN @ (np.eye(_NUM_BINS)[bin_N] * gap_N[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(sums_RB).sum(axis=1) / weights_RN.sum(axis=1)


def roc_points(score_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC curve at every distinct score, from (0, 0): false and true positive rates, each (R, G + 1)."""
    return _rates(_cumulative(score_N, positive_N, weights_RN))


def _rates(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    true_RG, false_RG = counts
    with np.errstate(invalid="ignore", divide="ignore"):
        tpr_RG, fpr_RG = true_RG / true_RG[:, -1:], false_RG / false_RG[:, -1:]
    return np.pad(fpr_RG, ((0, 0), (1, 0))), np.pad(tpr_RG, ((0, 0), (1, 0)))


def _cumulative(score_N: np.ndarray, positive_N: np.ndarray, weights_RN: np.ndarray) -> Counts:
    """Weight of positives and negatives scored at or above each distinct score, from the highest down."""
    order = np.argsort(-score_N, kind="stable")
    ends = np.flatnonzero(np.diff(score_N[order], append=-np.inf))  # the last row of each distinct score
    sorted_RN = weights_RN[:, order]
    true_RG = (sorted_RN * positive_N[order]).cumsum(axis=1)[:, ends]
    return true_RG, sorted_RN.cumsum(axis=1)[:, ends] - true_RG


def _one_vs_rest(score_NK: np.ndarray, label_N: np.ndarray, weights_RN: np.ndarray) -> dict[str, Weighted]:
    """Means of one-vs-rest values over the classes that are there; each class is counted once for both metrics."""
    by_class = [_cumulative(score_NK[:, k], label_N == k, weights_RN) for k in range(score_NK.shape[1])]
    return {
        "macro_auroc": _nanmean(np.stack([_auroc(counts) for counts in by_class], axis=1)),
        "average_precision": _nanmean(np.stack([_average_precision(counts) for counts in by_class], axis=1)),
    }


def _nanmean(values_RK: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values_RK)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(there, values_RK, 0).sum(axis=1) / there.sum(axis=1)
