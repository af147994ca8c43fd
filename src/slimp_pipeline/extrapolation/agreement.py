"""Agreement of borrowed with true values of one column, and what chance alone would give.

Values are float (N,): numbers, or codes that are equal where categories are. As in `evaluation.metrics`, a measure of
R weightings of the rows is (R,) float, NaN where a weighting leaves nothing to measure.
"""

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.measures.bootstrap import Weightings

BOUNDS = {
    "accuracy": (0.0, 1.0),
    "kappa": (-1.0, 1.0),
    "mean_absolute_error": (0.0, np.inf),
    "spearman": (-1.0, 1.0),
}
LOWER_IS_BETTER = frozenset({"mean_absolute_error"})


def as_numbers(kind: str, *columns: pd.Series) -> list[np.ndarray]:
    """Return the columns of one field as float arrays, NaN where missing; categories as codes common to all."""
    if kind == "numeric":
        return [column.to_numpy(dtype=np.float64, na_value=np.nan) for column in columns]
    together = pd.concat([column.astype(object) for column in columns], ignore_index=True)
    code_N = pd.factorize(together)[0].astype(np.float64)
    code_N[code_N < 0] = np.nan
    return np.split(code_N, np.cumsum([len(column) for column in columns])[:-1])


def measures(kind: str, borrowed_N: np.ndarray, truth_N: np.ndarray, weightings: Weightings) -> dict[str, np.ndarray]:
    """Agreement by measure: of numbers mean absolute error and Spearman's correlation, else accuracy and kappa."""
    if kind == "numeric":
        error_N = np.abs(borrowed_N - truth_N)
        return {
            "mean_absolute_error": weightings.mean(error_N),
            "spearman": spearman(borrowed_N, truth_N, weightings),
        }
    return {
        "accuracy": weightings.mean((borrowed_N == truth_N).astype(np.float64)),
        "kappa": kappa(borrowed_N, truth_N, weightings),
    }


def chance(kind: str, truth_N: np.ndarray, reference_R: np.ndarray) -> dict[str, float]:
    """Expected agreement of rows that borrow from a random reference row, by measure.

    Args:
        kind: Of the field.
        truth_N: True values, none missing.
        reference_R: Known values of the reference; NaN is returned for measures of the values if there are none.
    """
    if kind == "numeric":
        return {"mean_absolute_error": float(expected_absolute_error(truth_N, reference_R).mean()), "spearman": 0.0}
    category_C, count_C = np.unique(reference_R, return_counts=True)
    share_N = (truth_N[:, None] == category_C) @ count_C / max(len(reference_R), 1)
    return {"accuracy": float(share_N.mean()), "kappa": 0.0}


def expected_absolute_error(truth_N: np.ndarray, reference_R: np.ndarray) -> np.ndarray:
    """Mean distance of each true value to all reference values, float (N,); NaN without any."""
    sorted_R = np.sort(reference_R)
    total = np.concatenate([[0.0], np.cumsum(sorted_R)])
    below_N = np.searchsorted(sorted_R, truth_N)
    to_lower_N = truth_N * below_N - total[below_N]
    to_higher_N = total[-1] - total[below_N] - truth_N * (len(sorted_R) - below_N)
    return (to_lower_N + to_higher_N) / len(sorted_R) if len(sorted_R) else np.full(len(truth_N), np.nan)


def kappa(borrowed_N: np.ndarray, truth_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Agreement beyond that of the two distributions alone; NaN where both are the same constant.

    Source:
        Cohen 1960, doi:10.1177/001316446002000104.
    """
    agreed_R = weightings.mean((borrowed_N == truth_N).astype(np.float64))
    code_N = np.unique(np.concatenate([borrowed_N, truth_N]), return_inverse=True)[1]
    ones_N, num = np.ones(len(truth_N)), int(code_N.max(initial=0)) + 1
    borrowed_RC, truth_RC = (weightings.sums(ones_N, codes, num) for codes in np.split(code_N, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected_R = (borrowed_RC * truth_RC).sum(axis=1) / truth_RC.sum(axis=1) ** 2
        return np.where(expected_R < 1 - 1e-12, (agreed_R - expected_R) / (1 - expected_R), np.nan)


def spearman(borrowed_N: np.ndarray, truth_N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Spearman's correlation, ranked anew in each weighting, with mean ranks for ties; NaN where one is constant."""
    groups = [np.unique(values, return_inverse=True)[1] for values in (borrowed_N, truth_N)]
    return np.array([_rank_correlation(groups, weight_N) for weight_N in weightings])


def _rank_correlation(groups: list[np.ndarray], weight_N: np.ndarray) -> float:
    if not weight_N.any():
        return float("nan")
    ranks = []
    for group_N in groups:
        weight_G = np.bincount(group_N, weights=weight_N)
        rank_N = (np.cumsum(weight_G) - weight_G / 2)[group_N]
        ranks.append(rank_N - np.average(rank_N, weights=weight_N))
    (xx, xy), (_, yy) = np.multiply(ranks, weight_N) @ np.transpose(ranks)
    return float(xy / np.sqrt(xx * yy)) if min(xx, yy) > 1e-9 else float("nan")
