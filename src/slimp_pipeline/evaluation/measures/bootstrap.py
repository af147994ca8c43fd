"""How often rows count: as they are, and on bootstrap resamples of the patients within folds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

_BLOCK = 2**22  # numbers that a step of a computation holds at once
_DENSE = 2**14  # numbers of an array that is made whole


@dataclass(frozen=True)
class Weightings:
    """R weightings of the same N rows, in which a patient's rows come together.

    A weighting says how often each row counts: once for the plain value, as often as its patient was drawn for a
    resample. Held by patient, since there are fewer patients than rows, and sums over rows are sums over patients of
    sums over their rows.

    Attributes:
        count_PR: How often each of P patients counts in each weighting, float (P, R), at least 0.
        patient_N: The patient of each row, int (N,), 0..P-1.
    """

    count_PR: np.ndarray
    patient_N: np.ndarray

    @classmethod
    def of_rows(cls, weights_RN: np.ndarray) -> "Weightings":
        """Weightings in which each row has a weight of its own, (R, N)."""
        return cls(np.ascontiguousarray(weights_RN.T), np.arange(weights_RN.shape[1]))

    @property
    def num(self) -> int:
        """R."""
        return int(self.count_PR.shape[1])

    def __iter__(self) -> Iterator[np.ndarray]:
        """The weight of each row, float64 (N,), in one weighting after the other."""
        return (count_P.astype(np.float64)[self.patient_N] for count_P in self.count_PR.T)

    def __getitem__(self, rows: np.ndarray) -> "Weightings":
        """Weightings of some of the rows, by position or by a mask."""
        return Weightings(self.count_PR, self.patient_N[rows])

    def sums(self, value_N: np.ndarray, group_N: np.ndarray | None = None, num_groups: int = 1) -> np.ndarray:
        """Weighted sums of a value, in each group of rows, float (R, num_groups)."""
        group_N = np.zeros(len(value_N), dtype=np.int64) if group_N is None else group_N
        num_patients = len(self.count_PR)
        cells = np.bincount(self.patient_N * num_groups + group_N, value_N, minlength=num_patients * num_groups)
        value_PC = cells.reshape(num_patients, num_groups)
        sums_RC = np.empty((self.num, num_groups))
        for part in self.parts(num_patients):
            sums_RC[part] = self.count_PR[:, part].T.astype(np.float64) @ value_PC
        return sums_RC

    def mean(self, value_N: np.ndarray) -> np.ndarray:
        """Weighted mean over the rows whose value is known, float (R,); NaN where none counts."""
        known_N = ~np.isnan(value_N)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = self[known_N]
            return (known.sums(value_N[known_N]) / known.sums(np.ones(known_N.sum())))[:, 0]

    def by_group(self, rows: np.ndarray, group_N: np.ndarray, num_groups: int) -> np.ndarray | sparse.csr_array:
        """How many of the chosen rows each patient has in a group, (num_groups, P): times `count_PR`, their weight."""
        shape = num_groups, len(self.count_PR)
        if num_groups * shape[1] <= _DENSE:  # SciPy takes longer to make an array than to multiply it
            cells = np.bincount(group_N[rows] * shape[1] + self.patient_N[rows], minlength=num_groups * shape[1])
            return cells.reshape(shape).astype(self.count_PR.dtype)
        counted = np.ones(len(rows), self.count_PR.dtype), (group_N[rows], self.patient_N[rows])
        return sparse.csr_array(counted, shape=shape)

    def parts(self, num_per_weighting: int) -> Iterator[slice]:
        """Slices of the weightings, each of which holds a bounded number of numbers."""
        size = max(1, _BLOCK // max(1, num_per_weighting))
        return (slice(start, start + size) for start in range(0, self.num, size))


def resampled(patients_N: np.ndarray, num_resamples: int, seed: int | Sequence[int]) -> Weightings:
    """Rows as they are, and on resamples: patients drawn with replacement, as many as there are.

    The draw depends on the seed and the patients alone, so that methods measured on the same rows are compared on the
    same resamples; folds need a seed each, else their draws would go together by position.

    Args:
        patients_N: Patient id of each row.
        num_resamples: How often to draw.
        seed: Of the draw.

    Returns:
        1 + num_resamples weightings, the first all ones: it gives the value itself.
    """
    ids_P, patient_N = np.unique(patients_N, return_inverse=True)
    num_patients = len(ids_P)
    count_PR = np.ones((num_patients, 1 + num_resamples), dtype=np.float32)  # whole numbers to 2^24 are exact
    if num_resamples and num_patients:
        rng = np.random.default_rng(seed)
        chances = np.full(num_patients, 1 / num_patients)
        count_PR[:, 1:] = rng.multinomial(num_patients, chances, size=num_resamples).T
    return Weightings(count_PR, patient_N)


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


def drawn_anew(
    value_DR: np.ndarray, drawn_DR: np.ndarray, confidence: float, num_free: int | None = None
) -> np.ndarray:
    """Values of runs or draws: as they are on the sample, and drawn with replacement on each resample of patients.

    On a resample of patients each is the mean of all there, moved by how far the drawn one is from that mean on the
    sample: what patients and runs add to the noise stays apart. A bootstrap over D runs holds (D - 1) / D of their
    variance, and so few call for Student's t in place of the normal distribution: both widen the moves.

    Args:
        value_DR: Value of each of D on the sample, then on R resamples, (D, 1 + R).
        drawn_DR: Which of them are drawn for each resample, (D, R).
        confidence: Of the interval that they are for.
        num_free: Degrees of freedom; D - 1 unless others like them are averaged over.

    Returns:
        (D, 1 + R), whose mean over D is to be taken.
    """
    num = len(value_DR)
    if num == 1:
        return value_DR
    place = (1 + confidence) / 2
    widening = np.sqrt(num / (num - 1)) * stats.t.ppf(place, num_free or num - 1) / stats.norm.ppf(place)
    mean_R = mean_where_known(list(value_DR))
    move_D = np.nan_to_num(value_DR[:, 0] - mean_R[0])
    return np.concatenate([value_DR[:, :1], mean_R[1:] + widening * move_D[drawn_DR]], axis=1)


def mean_where_known(values: list[np.ndarray]) -> np.ndarray:
    """Mean over the folds or draws in which the metric could be measured; NaN where it could in none."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)


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
