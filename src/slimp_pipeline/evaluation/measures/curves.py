"""ROC and precision-recall curves, reliability, each on many weightings of the same rows: for bands around them."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.measures.bootstrap import Weightings, interval
from slimp_pipeline.evaluation.measures.calibration import reliability
from slimp_pipeline.evaluation.measures.metrics import Counts, Ranking

GRID = np.linspace(0, 1, 101)  # of false positive rates, of recalls
Curve = Callable[[np.ndarray, np.ndarray, Weightings], np.ndarray]
_TINY = 1e-9


def roc_curves(score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Sensitivity at the false positive rates of `GRID`, float (R, 101); NaN where only one class counts."""

    def of(true_G: np.ndarray, false_G: np.ndarray) -> np.ndarray:
        return np.interp(GRID, np.append(0, false_G / false_G[-1]), np.append(0, true_G / true_G[-1]))

    return _curves(of, score_N, positive_N, weightings)


def precision_curves(score_N: np.ndarray, positive_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Precision at the recalls of `GRID`, float (R, 101), as `roc_curves`.

    It is that of the highest threshold which reaches a recall: between thresholds precision doesn't run straight.

    Source:
        Davis and Goadrich 2006, ICML.
    """

    def of(true_G: np.ndarray, false_G: np.ndarray) -> np.ndarray:
        reached = np.searchsorted(true_G / true_G[-1], np.maximum(GRID, _TINY) - _TINY / 2)
        return true_G[reached] / (true_G[reached] + false_G[reached])

    return _curves(of, score_N, positive_N, weightings)


def reliability_with_intervals(
    score_NK: np.ndarray, label_N: np.ndarray, num_bins: int, weightings: Weightings, confidence: float
) -> pd.DataFrame:
    """`calibration.reliability` with ci_low and ci_high of each bin's accuracy; the first weighting is the rows'."""
    bins = reliability(score_NK, label_N, num_bins)
    place_N = np.clip((score_NK.max(axis=1).astype(np.float64) * num_bins).astype(int), 0, num_bins - 1)
    bin_N = np.unique(place_N, return_inverse=True)[1]  # bins without rows are left out
    right_N = (score_NK.argmax(axis=1) == label_N).astype(np.float64)
    with np.errstate(invalid="ignore"):
        accuracy_RB = weightings.sums(right_N, bin_N, len(bins)) / weightings.sums(
            np.ones(len(bin_N)), bin_N, len(bins)
        )
    ranges = [interval(float(value_R[0]), value_R[1:], confidence) for value_R in accuracy_RB.T]
    return bins.assign(ci_low=np.clip([low for low, _ in ranges], 0, 1), ci_high=np.clip([h for _, h in ranges], 0, 1))


def band(value_RG: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A curve, and low and high at each of its places (not of the curve as a whole), between 0 and 1."""
    ranges = np.array([interval(float(value_R[0]), value_R[1:], confidence) for value_R in value_RG.T])
    return value_RG[0], ranges[:, 0].clip(0, 1), ranges[:, 1].clip(0, 1)


def _curves(
    of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    score_N: np.ndarray,
    positive_N: np.ndarray,
    weightings: Weightings,
) -> np.ndarray:
    """A curve per weighting, from the positives and negatives above each threshold, some weightings at a time."""
    curve_RG = np.full((weightings.num, len(GRID)), np.nan)
    ranking = Ranking.of(score_N, positive_N, weightings)
    for part in weightings.parts(ranking.true_GP.shape[0]):
        for number, (true_G, false_G) in enumerate(_above(list(ranking.blocks(part))), start=part.start):
            if true_G[-1] and false_G[-1]:
                curve_RG[number] = of(true_G, false_G)
    return curve_RG


def _above(blocks: list[Counts]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    true_GR = np.concatenate([block.true_above_GR for block in blocks]).astype(np.float64)
    false_GR = np.concatenate([block.false_above_GR for block in blocks]).astype(np.float64)
    return zip(true_GR.T, false_GR.T, strict=True)
