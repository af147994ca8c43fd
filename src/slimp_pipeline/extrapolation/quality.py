"""How well borrowed metadata agree with the truth, where the target's is known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.measures.bootstrap import Weightings, interval, resampled
from slimp_pipeline.extrapolation.agreement import BOUNDS, LOWER_IS_BETTER, as_numbers, chance, measures
from slimp_pipeline.extrapolation.comparable import shared_columns

QUALITY_COLUMNS = [
    "field", "kind", "coverage", "measure", "value", "ci_low", "ci_high", "chance", "shuffled", "num_rows",
    "num_patients", "beats_chance",
]  # fmt: skip
_NUM_SHUFFLES = 20


def borrowed_quality(
    borrowed: pd.DataFrame,
    truth: pd.DataFrame,
    reference_rows: pd.DataFrame,
    fields: Mapping[str, FieldSpec],
    patient_N: np.ndarray,
    similarity_N: np.ndarray,
    coverages: Sequence[float],
    *,
    num_resamples: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Measure how borrowed values agree with true ones, field by field.

    Args:
        borrowed: Borrowed values, N rows.
        truth: True values of the same rows, in the same order.
        reference_rows: The rows that were borrowed from.
        fields: Comparable fields; a column that one of the three tables lacks is left out.
        patient_N: Patients of the target rows.
        similarity_N: Similarity of their nearest neighbours.
        coverages: Shares of the target rows to keep, the nearest first.
        num_resamples: Of the bootstrap over target patients; all fields and coverages share the resamples.
        confidence: Of the intervals.
        seed: Of resamples and permutations.

    Returns:
        `QUALITY_COLUMNS`, over the kept rows whose borrowed and true value are known, the latter a category that the
        reference has and could lend (a coverage that leaves fewer than 2 has no row). field: the column,
        `<name>.<option>` for a checkbox group. measure: `accuracy` and `kappa`, or `mean_absolute_error` (in the
        field's unit) and `spearman`; NaN where it isn't defined (constant values). The interval is NaN where all
        rows are of one patient. chance: expected of random reference rows; shuffled:
        mean over 20 permutations of the borrowed values among the kept rows; beats_chance: the whole interval is
        better than both (a mean or a vote of several neighbours is nearer to the truth than one random row, whoever
        they are).

    Raises:
        ValueError: If the tables and arrays don't have the same rows, or a similarity or patient is missing.
    """
    _check(borrowed, truth, patient_N, similarity_N)
    num_nearer_N = np.empty(len(truth), dtype=np.int64)
    num_nearer_N[np.argsort(-similarity_N, kind="stable")] = np.arange(len(truth))
    weightings = resampled(patient_N, num_resamples, seed)
    rows: list[list[object]] = []
    for name, field in fields.items():
        for column in shared_columns(name, field, borrowed, truth, reference_rows):
            values = as_numbers(field.kind, borrowed[column], truth[column], reference_rows[column])
            if field.kind == "categorical":
                values[1] = np.where(np.isin(values[1], values[2]), values[1], np.nan)
            known_N = ~np.isnan(values[:2]).any(axis=0)
            for coverage in coverages:
                kept_N = known_N & (num_nearer_N < round(coverage * len(truth)))
                num_patients = len(np.unique(patient_N[kept_N]))
                if kept_N.sum() > 1:
                    kept = values[0][kept_N], values[1][kept_N], values[2][~np.isnan(values[2])]
                    measured = _measure(field.kind, *kept, weightings[kept_N], num_patients, confidence, seed)
                    rows += [[column, field.kind, coverage, *row] for row in measured]
    return pd.DataFrame(rows, columns=QUALITY_COLUMNS)


def _measure(
    kind: str,
    borrowed_N: np.ndarray,
    truth_N: np.ndarray,
    reference_R: np.ndarray,
    weightings: Weightings,
    num_patients: int,
    confidence: float,
    seed: int,
) -> list[list[object]]:
    """Rows of one column at one coverage, from `measure` on."""
    by_chance = chance(kind, truth_N, reference_R)
    rng, once = np.random.default_rng(seed), Weightings.of_rows(np.ones((1, len(truth_N))))
    permutations = [measures(kind, rng.permutation(borrowed_N), truth_N, once) for _ in range(_NUM_SHUFFLES)]
    rows: list[list[object]] = []
    for measure, value_R in measures(kind, borrowed_N, truth_N, weightings).items():
        value, low, high, limit = float(value_R[0]), np.nan, np.nan, by_chance[measure]
        if num_patients > 1:  # the resamples of a single patient are all alike
            low, high = np.clip(interval(value, value_R[1:], confidence), *BOUNDS[measure])
        shuffled = float(np.mean([permuted[measure] for permuted in permutations]))
        bars = [bar for bar in (limit, shuffled) if not np.isnan(bar)]
        better = high < min(bars, default=np.nan) if measure in LOWER_IS_BETTER else low > max(bars, default=np.nan)
        row = [measure, value, float(low), float(high), limit, shuffled, len(truth_N), num_patients, bool(better)]
        rows.append(row)
    return rows


def _check(borrowed: pd.DataFrame, truth: pd.DataFrame, patient_N: np.ndarray, similarity_N: np.ndarray) -> None:
    sizes = len(borrowed), len(truth), len(patient_N), len(similarity_N)
    if len(set(sizes)) > 1:
        raise ValueError(f"borrowed, truth, patients and similarities are of the same rows, but have {sizes} of them")
    if pd.isna(patient_N).any() or pd.isna(similarity_N).any():
        raise ValueError("a patient or a similarity is missing: give one of each per target row")
