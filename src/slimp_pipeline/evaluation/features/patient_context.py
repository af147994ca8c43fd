"""The ugly duckling sign: a lesion that differs from its patient's other lesions.

All rows of a patient are in one split, so that its other rows may be looked at; labels never are.

Source:
    Grob and Bonerandi 1998, Archives of Dermatology 134(1):103-104.
"""

import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import normalize

_MAX_NEIGHBOURS = 20
_MIN_ROWS_FOR_OUTLIERS = 3  # of two rows neither is the outlier
_MIN_LESIONS_FOR_A_FENCE = 4
_TINY = 1e-12


def ugly_duckling(embedding_ND: np.ndarray, patient_N: np.ndarray, lesion_N: np.ndarray | None = None) -> np.ndarray:
    """Describe each row against its patient's other lesions.

    Args:
        embedding_ND: Embeddings, float (N, D), finite.
        patient_N: Patient of each row, (N,).
        lesion_N: Lesion of each row, (N,): another photograph of it is no other lesion. None: each row is a lesion.

    Returns:
        Float (N, D + 2), in the precision of the embeddings: the row minus its patient's mean, each lesion counting
        once; its Euclidean distance to that mean; its Euclidean distance to the nearest row of another of the
        patient's lesions. All 0 for a patient's only lesion.

    Raises:
        ValueError: If an embedding isn't finite, a patient is missing, or shapes don't fit.
    """
    embedding_ND = np.asarray(embedding_ND)
    if not np.isfinite(embedding_ND).all():
        raise ValueError("embeddings hold NaN or infinite values: distances to them mean nothing")
    num_rows, width = embedding_ND.shape
    context = np.zeros((num_rows, width + 2), dtype=np.result_type(embedding_ND, np.float32))
    all_lesions_N = np.arange(num_rows) if lesion_N is None else pd.factorize(np.asarray(lesion_N))[0]
    for rows in _rows_of_patients(patient_N, num_rows):
        lesions = np.unique(all_lesions_N[rows], return_inverse=True)[1]
        if not lesions.any():
            continue
        own = embedding_ND[rows].astype(np.float64)
        own -= (1 / np.bincount(lesions)[lesions]) @ own / (lesions.max() + 1)
        nearest = _nearest_other(own, lesions)
        context[rows, :width] = own
        context[rows, width] = np.linalg.norm(own, axis=1)
        context[rows, width + 1] = np.linalg.norm(own - own[nearest], axis=1)
    return context


def _nearest_other(row_ND: np.ndarray, lesion_N: np.ndarray) -> np.ndarray:
    """Number of the nearest row of another lesion. By products; distances are taken again, free of cancellation."""
    squared_N = np.einsum("nd,nd->n", row_ND, row_ND)
    offset_NN = squared_N - 2 * row_ND @ row_ND.T  # squared distance less the row's own squared length
    offset_NN[lesion_N[:, None] == lesion_N] = np.inf
    return offset_NN.argmin(axis=1)


def distances_from_own_mean(
    embedding_ND: np.ndarray, patient_N: np.ndarray, lesion_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine distance of each row to the mean of its patient's lesions, and which of them stand out.

    A row stands out where its distance is above the upper fence of its patient's distances, Q3 + 1.5 (Q3 - Q1): a
    rule without a number of our own. Patients with fewer than 4 lesions have no fence.

    Args:
        embedding_ND: Embeddings, float (N, D), centred on what pictures have in common; finite.
        patient_N: Patient of each row, (N,).
        lesion_N: Lesion of each row, (N,); the mean takes each lesion once.

    Returns:
        Distance, float64 (N,), 0 to 2, NaN for a patient's only lesion; and bool (N,).

    Raises:
        ValueError: If an embedding isn't finite, a patient is missing, or shapes don't fit.

    Source:
        Tukey 1977, Exploratory Data Analysis (the fence).
    """
    if not np.isfinite(embedding_ND).all():
        raise ValueError("embeddings hold NaN or infinite values: distances to them mean nothing")
    distance_N, stands_out_N = np.full(len(embedding_ND), np.nan), np.zeros(len(embedding_ND), dtype=bool)
    unit_ND = normalize(embedding_ND.astype(np.float64))
    all_lesions_N = pd.factorize(np.asarray(lesion_N))[0]
    for rows in _rows_of_patients(patient_N, len(embedding_ND)):
        lesions = np.unique(all_lesions_N[rows], return_inverse=True)[1]
        if not lesions.any():
            continue
        mean_D = (1 / np.bincount(lesions)[lesions]) @ unit_ND[rows]
        distance_N[rows] = 1 - unit_ND[rows] @ (mean_D / max(np.linalg.norm(mean_D), _TINY))
        if lesions.max() + 1 >= _MIN_LESIONS_FOR_A_FENCE:
            low, high = np.quantile(distance_N[rows], [0.25, 0.75])
            stands_out_N[rows] = distance_N[rows] > high + 1.5 * (high - low)
    return distance_N, stands_out_N


def patient_relative(
    value_NF: np.ndarray, patient_N: np.ndarray, *, with_local_outlier_factor: bool = True
) -> np.ndarray:
    """Put measurements of a lesion in relation to those of its patient's other lesions.

    Args:
        value_NF: Measurements, float (N, F), F >= 1; NaN where missing.
        patient_N: Patient of each row, (N,).
        with_local_outlier_factor: Whether to add it; it takes most of the time.

    Returns:
        float64 (N, 3F + 1), or (N, 3F) without the local outlier factor. F columns each of: the value minus the
        patient's mean over the patient's (population) standard deviation, 0 where all the patient's known values
        are equal; its rank within the patient from 0 to 1, ties averaged, 0.5 for an only known value; the value
        itself. NaN where the value is missing. Then the local outlier factor of the row among the patient's rows,
        on standardised values with missing ones as the mean: about 1 for a row like its neighbours, higher for an
        outlier; 1 for patients with fewer than 3 rows.

    Raises:
        ValueError: If there is no column, a value is infinite, a patient is missing, or shapes don't fit.

    Source:
        Features of the leading ISIC 2024 challenge entries; Breunig et al. 2000, SIGMOD (local outlier factor).
    """
    values = pd.DataFrame(np.asarray(value_NF, dtype=np.float64))
    if not values.shape[1]:
        raise ValueError("there is no column to relate to the patient: give at least one measurement")
    if np.isinf(values.to_numpy()).any():
        raise ValueError("measurements hold infinite values: make them NaN, which counts as missing")
    grouped = values.groupby(_patient_numbers(patient_N, len(values)))
    is_known, num_known = values.notna(), grouped.transform("count")
    is_varied = grouped.transform("max") > grouped.transform("min")  # a spread of 0 may come out as rounding noise
    standard = (values - grouped.transform("mean")) / grouped.transform("std", ddof=0)
    standard = standard.where(is_varied, 0.0).where(is_known)
    rank = (grouped.rank() - 1) / (num_known - 1)
    rank = rank.where(num_known > 1, 0.5).where(is_known)
    columns = [standard, rank, values]
    if with_local_outlier_factor:
        columns.append(_local_outlier_factor(standard.fillna(0.0).to_numpy(), patient_N)[:, None])
    return np.concatenate(columns, axis=1)


def _local_outlier_factor(standard_NF: np.ndarray, patient_N: np.ndarray) -> np.ndarray:
    factor_N = np.ones(len(standard_NF))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a row beside many equal ones rightly has a huge factor
        for rows in _rows_of_patients(patient_N, len(standard_NF)):
            if len(rows) >= _MIN_ROWS_FOR_OUTLIERS:
                model = LocalOutlierFactor(n_neighbors=min(_MAX_NEIGHBOURS, len(rows) - 1)).fit(standard_NF[rows])
                factor_N[rows] = -model.negative_outlier_factor_
    return factor_N


def _rows_of_patients(patient_N: np.ndarray, num_rows: int) -> Iterable[np.ndarray]:
    number_N = _patient_numbers(patient_N, num_rows)
    return pd.Series(number_N).groupby(number_N).indices.values()


def _patient_numbers(patient_N: np.ndarray, num_rows: int) -> np.ndarray:
    if len(patient_N) != num_rows:
        raise ValueError(f"there are {num_rows} rows but {len(patient_N)} patient ids: give one for each row")
    number_N, _ = pd.factorize(np.asarray(patient_N))
    if (number_N < 0).any():
        raise ValueError("a row has no patient id: give rows without one an id of their own")
    return number_N
