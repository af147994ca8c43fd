"""Intervals by bootstrap over patients within folds."""

import numpy as np


def patient_weights(patients_N: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Draw patients with replacement; return how often each row counts, float (R, N).

    A patient's rows come together. The draw depends on the seed and the patients alone, so that methods
    measured on the same rows are compared on the same resamples.
    """
    _, patient_of_row_N = np.unique(patients_N, return_inverse=True)
    num_patients = int(patient_of_row_N.max()) + 1
    rng = np.random.default_rng(seed)
    counts_RP = rng.multinomial(num_patients, np.full(num_patients, 1 / num_patients), size=num_resamples)
    return counts_RP[:, patient_of_row_N].astype(np.float64)


def interval(values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of bootstrap values; NaN where no resample could be measured."""
    known = values_R[~np.isnan(values_R)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
