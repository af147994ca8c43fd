"""Intervals by bootstrap over patients within folds."""

from collections.abc import Sequence

import numpy as np


def patient_weights(patients_N: np.ndarray, num_resamples: int, seed: int | Sequence[int]) -> np.ndarray:
    """Draw patients with replacement; return how often each row counts, float (R, N).

    A patient's rows come together. The draw depends on the seed and the patients alone, so that methods
    measured on the same rows are compared on the same resamples; folds need a seed each, else their draws
    would go together by position.
    """
    _, patient_of_row_N = np.unique(patients_N, return_inverse=True)
    num_patients = int(patient_of_row_N.max()) + 1
    rng = np.random.default_rng(seed)
    counts_RP = rng.multinomial(num_patients, np.full(num_patients, 1 / num_patients), size=num_resamples)
    return counts_RP[:, patient_of_row_N].astype(np.float64)


def value_and_resamples(patients_N: np.ndarray, num_resamples: int, seed: int | Sequence[int]) -> np.ndarray:
    """Weights of the rows, (1 + R, N): a first row of ones, which gives the value itself, then `patient_weights`."""
    return np.concatenate([np.ones((1, len(patients_N))), patient_weights(patients_N, num_resamples, seed)])


def estimate(
    value_R: np.ndarray, confidence: float, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float, float]:
    """Value, low and high of a measure.

    Args:
        value_R: Its value, then its values on the resamples, (1 + R,).
        confidence: Between 0 and 1.
        bounds: Of the measure; the interval stays within.
    """
    value = float(value_R[0])
    low, high = np.clip(interval(value, value_R[1:], confidence), *bounds)
    return value, float(low), float(high)


def interval(value: float, values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap values, centred on the measured value.

    A resample has fewer distinct patients than the sample, so that on small folds some metrics come out
    higher or lower on all of them (calibration error; class means where a rare class drops out). This
    bias is taken off: without it an interval may leave out the very value that it belongs to.

    Args:
        value: Measured on the sample.
        values_R: Measured on the resamples, NaN where nothing was left to measure.
        confidence: Between 0 and 1.

    Returns:
        Low and high; NaN where no resample could be measured.
    """
    known = values_R[~np.isnan(values_R)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2]) - (known.mean() - value)
    return min(float(low), value), max(float(high), value)
