"""Metrics of a classifier, for many weightings of the same rows at once.

Every function takes `Weightings` of the rows, and returns (R,) float: NaN where a weighting leaves nothing to measure.
What needs the order of the scores is computed from the weight of positives and negatives in groups of rows between
which a threshold makes a difference, from the highest score down, in blocks that stay in a core's cache, in float32.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy import sparse

from slimp_pipeline.evaluation.measures.bootstrap import Weightings

MIN_TPR = 0.8
FIXED_SPECIFICITY = 0.95
_NUM_BINS = 15
_BLOCK = 2**17  # numbers that a thread holds at once, several times over
_MIN_PARALLEL_GROUPS = 1000  # fewer are measured sooner than threads are started
_TINY = 1e-30


def classification_metrics(
    score_NK: np.ndarray, label_N: np.ndarray, malignant_K: np.ndarray, weightings: Weightings
) -> dict[str, np.ndarray]:
    """Return all metrics by name.

    Args:
        score_NK: Class probabilities.
        label_N: Class numbers, 0..K-1.
        malignant_K: 1 where a class is malignant, 0 where benign, -1 where neither: such rows are in no malignancy
            metric. Without classes of both kinds those metrics are left out.
        weightings: How often each row counts, R times.
    """
    confusion_RKK = confusion(score_NK.argmax(axis=1), label_N, score_NK.shape[1], weightings)
    auroc_RK, precision_RK, of_malignancy = _rankings(score_NK, label_N, malignant_K, weightings)
    return {
        "balanced_accuracy": balanced_accuracy(confusion_RKK),
        "macro_f1": macro_f1(confusion_RKK),
        "macro_auroc": _nanmean(auroc_RK),
        "average_precision": _nanmean(precision_RK),
        "ece": expected_calibration_error(score_NK, label_N, weightings),
        **of_malignancy,
    }


def _rankings(
    score_NK: np.ndarray, label_N: np.ndarray, malignant_K: np.ndarray, weightings: Weightings
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """AUROC and average precision of each class against the others, (R, K); the metrics of malignant against not."""
    num_classes, is_malignant_K = len(malignant_K), malignant_K == 1
    of_malignancy: dict[str, np.ndarray] = {}
    if is_malignant_K.any() and (malignant_K == 0).any():
        decided_N = malignant_K[label_N] != -1
        score_N, positive_N = score_NK[:, is_malignant_K].sum(axis=1), is_malignant_K[label_N]
        found = _measured(score_N[decided_N], positive_N[decided_N], weightings[decided_N], *_MALIGNANCY.values())
        of_malignancy = dict(zip(_MALIGNANCY, found, strict=True))
        if num_classes == 2:  # one class against the other is malignant against not; AUROC is the same for both
            benign = int(np.argmin(malignant_K))
            (precision_R,) = _measured(score_NK[:, benign], label_N == benign, weightings, _average_precision)
            precisions = of_malignancy["malignant_average_precision"], precision_R
            return of_malignancy["malignant_auroc"][:, None], np.stack(precisions, axis=1), of_malignancy
    by_class = [
        _measured(score_NK[:, k], label_N == k, weightings, _auroc, _average_precision) for k in range(num_classes)
    ]
    auroc_RK, precision_RK = (np.stack(values, axis=1) for values in zip(*by_class, strict=True))
    return auroc_RK, precision_RK, of_malignancy


def confusion(predicted_N: np.ndarray, label_N: np.ndarray, num_classes: int, weightings: Weightings) -> np.ndarray:
    """Confusion counts (R, K, K): true class by row, predicted class by column."""
    cells_RC = weightings.sums(np.ones(len(label_N)), label_N * num_classes + predicted_N, num_classes**2)
    return cells_RC.reshape(-1, num_classes, num_classes)


def balanced_accuracy(confusion_RKK: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that are there."""
    support_RK = confusion_RKK.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall_RK = np.diagonal(confusion_RKK, axis1=1, axis2=2) / support_RK
    return _nanmean(np.where(support_RK > 0, recall_RK, np.nan))


def macro_f1(confusion_RKK: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that are there or are predicted."""
    hit_RK = np.diagonal(confusion_RKK, axis1=1, axis2=2)
    total_RK = confusion_RKK.sum(axis=2) + confusion_RKK.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nanmean(np.where(total_RK > 0, 2 * hit_RK / total_RK, np.nan))


def expected_calibration_error(score_NK: np.ndarray, label_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Mean gap between confidence and accuracy over 15 equal bins of confidence.

    Source:
        Guo et al. 2017, arXiv:1706.04599.
    """
    confidence_N = score_NK.max(axis=1)
    gap_N = (score_NK.argmax(axis=1) == label_N) - confidence_N
    bin_N = np.clip((confidence_N * _NUM_BINS).astype(int), 0, _NUM_BINS - 1)
    sums_RB, total_R1 = weightings.sums(gap_N, bin_N, _NUM_BINS), weightings.sums(np.ones(len(gap_N)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(sums_RB).sum(axis=1) / total_R1[:, 0]


def auroc(score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Area under the ROC curve; ties count half."""
    return _measured(score_N, positive_N, weightings, _auroc)[0]


def average_precision(score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Precision averaged over the steps in recall, without interpolation."""
    return _measured(score_N, positive_N, weightings, _average_precision)[0]


def pauc_above_tpr(
    score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings, min_tpr: float = MIN_TPR
) -> np.ndarray:
    """Area between the ROC curve and the line TPR = min_tpr: 0 to 1 - min_tpr.

    Source:
        ISIC 2024 challenge (pAUC above 80 % TPR, range 0 to 0.2).
    """
    return _measured(score_N, positive_N, weightings, partial(_pauc_above_tpr, min_tpr=min_tpr))[0]


def sensitivity_at_specificity(
    score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings, specificity: float = FIXED_SPECIFICITY
) -> np.ndarray:
    """Highest sensitivity of a threshold whose specificity is at least that given."""
    measure = partial(_sensitivity_at_specificity, specificity=specificity)
    return _measured(score_N, positive_N, weightings, measure)[0]


@dataclass(frozen=True)
class Counts:
    """Weight of positives and negatives in G groups of rows, from the highest score down.

    Attributes:
        true_GR, false_GR: In each group.
        true_above_GR, false_above_GR: In it and in all groups of higher scores.
        num_true_R, num_false_R: In all groups there are, float64.
    """

    true_GR: np.ndarray
    true_above_GR: np.ndarray
    false_GR: np.ndarray
    false_above_GR: np.ndarray
    num_true_R: np.ndarray
    num_false_R: np.ndarray


@dataclass(frozen=True)
class Ranking:
    """Rows in groups from the highest score down, between which a threshold makes a difference.

    Rows of one score are in one group. Neighbouring groups without positives are one: between them the curves run
    straight, and no metric changes.

    Attributes:
        true_GP, false_GP: How many positives and negatives each patient has in each group.
        weightings: How often patients count.
    """

    true_GP: np.ndarray | sparse.csr_array
    false_GP: np.ndarray | sparse.csr_array
    weightings: Weightings

    @classmethod
    def of(cls, score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings) -> "Ranking":
        """Rank rows, some of which are positive, bool (N,)."""
        order_N = np.argsort(-score_N, kind="stable")
        distinct_N = np.cumsum(np.diff(score_N[order_N], prepend=np.inf) != 0) - 1
        has_true_D = np.bincount(distinct_N, positive_N[order_N]) > 0
        opens_D = has_true_D | np.append(True, has_true_D[:-1])
        group_N = np.empty(len(score_N), dtype=np.int64)
        group_N[order_N] = (np.cumsum(opens_D) - 1)[distinct_N]
        true_GP, false_GP = (
            weightings.by_group(np.flatnonzero(rows), group_N, int(opens_D.sum())) for rows in (positive_N, ~positive_N)
        )
        return cls(true_GP, false_GP, weightings)

    def blocks(self, part: slice) -> Iterator[Counts]:
        """Counts on some of the weightings, of a bounded number of groups at a time."""
        count_PR = np.ascontiguousarray(self.weightings.count_PR[:, part])
        kinds_GP = self.true_GP, self.false_GP
        totals_R = [of_kind_GP.sum(axis=0) @ count_PR.astype(np.float64) for of_kind_GP in kinds_GP]
        above_R = [np.zeros_like(count_PR[0])] * 2
        size = max(1, _BLOCK // count_PR.shape[1])
        for start in range(0, self.true_GP.shape[0], size):
            cumulated = [
                _cumulated(of_kind_GP[start : start + size], count_PR, start_R)
                for of_kind_GP, start_R in zip(kinds_GP, above_R, strict=True)
            ]
            yield Counts(*cumulated[0], *cumulated[1], *totals_R)
            above_R = [above_GR[-1] for _, above_GR in cumulated]


def _cumulated(
    of_kind_GP: np.ndarray | sparse.csr_array, count_PR: np.ndarray, start_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of some groups' rows, (G, R), and from the first row of all down to them."""
    if not of_kind_GP.sum():  # most blocks of many rows of a common class hold none of a rare one
        shape = of_kind_GP.shape[0], len(start_R)
        return np.broadcast_to(np.zeros_like(start_R), shape), np.broadcast_to(start_R, shape)
    weight_GR = of_kind_GP @ count_PR
    above_GR = weight_GR.cumsum(axis=0)
    above_GR += start_R
    return weight_GR, above_GR


def _measured(
    score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings, *measures: Callable[[Counts], np.ndarray]
) -> list[np.ndarray]:
    """Each measure's values, (R,): sums over blocks of groups; of many groups, in as many threads as torch has.

    NaN where no positive counts, or no negative but for average precision.
    """
    ranking = Ranking.of(score_N, positive_N, weightings)
    values = [np.zeros(weightings.num) for _ in measures]

    def measure(part: slice) -> None:
        with np.errstate(invalid="ignore", divide="ignore"):
            for counts in ranking.blocks(part):
                for value_R, of_counts in zip(values, measures, strict=True):
                    value_R[part] += of_counts(counts)

    num_threads = torch.get_num_threads() if ranking.true_GP.shape[0] >= _MIN_PARALLEL_GROUPS else 1
    if num_threads == 1:
        measure(slice(None))
        return values
    size = -(-weightings.num // num_threads)
    with ThreadPoolExecutor(num_threads) as threads:
        list(threads.map(measure, (slice(start, start + size) for start in range(0, weightings.num, size))))
    return values


# What a block of groups adds to a measure.
def _auroc(counts: Counts) -> np.ndarray:
    """Of each negative, the share of positives above it, and half of those beside it."""
    above_GR = counts.true_above_GR - counts.true_GR / 2
    above_GR *= counts.false_GR
    return above_GR.sum(axis=0, dtype=np.float64) / (counts.num_true_R * counts.num_false_R)


def _average_precision(counts: Counts) -> np.ndarray:
    precision_GR = counts.true_above_GR + counts.false_above_GR
    precision_GR += _TINY  # no row, no share
    np.divide(counts.true_above_GR, precision_GR, out=precision_GR)
    precision_GR *= counts.true_GR
    return precision_GR.sum(axis=0, dtype=np.float64) / counts.num_true_R


def _pauc_above_tpr(counts: Counts, min_tpr: float = MIN_TPR) -> np.ndarray:
    dtype = counts.true_GR.dtype
    of_true_R, of_false_R = (1 / counts.num_true_R).astype(dtype), (1 / counts.num_false_R).astype(dtype)
    tpr_GR, rise_GR = counts.true_above_GR * of_true_R, counts.true_GR * of_true_R
    fpr_GR, run_GR = counts.false_above_GR * of_false_R, counts.false_GR * of_false_R
    height_GR = np.clip(tpr_GR - min_tpr, 0, rise_GR)  # of the part of a step above the line
    share_GR = np.where(rise_GR > 0, height_GR / rise_GR, 0)
    # A step's mean distance from the right edge, over the part of it that is above the line.
    area_GR = height_GR * (1 - fpr_GR + share_GR * run_GR / 2)
    return _known(area_GR.sum(axis=0, dtype=np.float64), counts)


def _sensitivity_at_specificity(counts: Counts, specificity: float = FIXED_SPECIFICITY) -> np.ndarray:
    most_false_R = (1 - specificity) * counts.num_false_R + 1e-9 * np.maximum(counts.num_false_R, 1)
    allowed_GR = counts.false_above_GR <= most_false_R.astype(counts.false_GR.dtype)  # the first groups
    return _known((allowed_GR * counts.true_GR).sum(axis=0, dtype=np.float64) / counts.num_true_R, counts)


def _known(value_R: np.ndarray, counts: Counts) -> np.ndarray:
    """A value where positives and negatives are there, elsewhere NaN."""
    return np.where((counts.num_true_R > 0) & (counts.num_false_R > 0), value_R, np.nan)


_MALIGNANCY = {
    "malignant_auroc": _auroc,
    "malignant_average_precision": _average_precision,
    "pauc_above_80_tpr": _pauc_above_tpr,
    "sensitivity_at_95_specificity": _sensitivity_at_specificity,
}


def _nanmean(values_RK: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values_RK)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(there, values_RK, 0).sum(axis=1) / there.sum(axis=1)
