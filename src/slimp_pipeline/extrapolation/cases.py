"""Target rows to show: where borrowed metadata agree best, and where they are confidently wrong."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.extrapolation.agreement import as_numbers
from slimp_pipeline.extrapolation.comparable import shared_columns

_LOWEST_SHARE = 0.1  # of the rows, by agreement, among which the worst cases are looked for


def worst_and_best(
    borrowed: pd.DataFrame,
    truth: pd.DataFrame,
    fields: Mapping[str, FieldSpec],
    similarity_N: np.ndarray,
    num_shown: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the target rows whose borrowed metadata agree best, and those that are confidently wrong.

    A row's agreement is the mean over the comparable fields that are known on both sides: 1 or 0 for a category
    (options of a checkbox group are averaged), exp(-|error| / standard deviation of the truth) for a number.

    Returns:
        best: Rows of the highest agreement, the more similar first where it is equal, int64 (<= num_shown,).
        worst: Of the tenth of the rows that agrees least (of num_shown rows, if that is more), those most similar to
            their neighbour, most similar first, none of them in `best`. Rows without a known field are in neither.

    Raises:
        ValueError: If the tables and the similarities don't have the same rows, or a similarity is missing.
    """
    sizes = len(borrowed), len(truth), len(similarity_N)
    if len(set(sizes)) > 1 or np.isnan(similarity_N).any():
        raise ValueError(f"borrowed, truth and similarities need the same rows ({sizes}), and no similarity may be NaN")
    agreement_N = _row_agreement(borrowed, truth, fields)
    judged = np.flatnonzero(~np.isnan(agreement_N))
    order = judged[np.lexsort((-similarity_N[judged], -agreement_N[judged]))]
    best, others = order[:num_shown], order[num_shown:]
    if not others.size:
        return best, others
    num_lowest = min(max(num_shown, int(np.ceil(_LOWEST_SHARE * len(judged)))), len(others))
    lowest = others[agreement_N[others] <= agreement_N[others[-num_lowest]]]
    return best, lowest[np.argsort(-similarity_N[lowest], kind="stable")][:num_shown]


def _row_agreement(borrowed: pd.DataFrame, truth: pd.DataFrame, fields: Mapping[str, FieldSpec]) -> np.ndarray:
    """Agreement of each row, float (N,), NaN where no field is known on both sides."""
    by_field = {}
    for name, field in fields.items():
        by_column = {}
        for column in shared_columns(name, field, borrowed, truth):
            borrowed_N, truth_N = as_numbers(field.kind, borrowed[column], truth[column])
            agreed_N = (borrowed_N == truth_N).astype(np.float64)
            if field.kind == "numeric" and (std := pd.Series(truth_N).std(ddof=0)) > 0:
                agreed_N = np.exp(-np.abs(borrowed_N - truth_N) / std)
            by_column[column] = np.where(np.isnan(borrowed_N) | np.isnan(truth_N), np.nan, agreed_N)
        by_field[name] = pd.DataFrame(by_column, index=range(len(truth))).mean(axis=1)
    agreement = pd.DataFrame(by_field, index=range(len(truth)), dtype=np.float64).mean(axis=1)
    return agreement.round(12).to_numpy()  # equal agreement stays equal whatever the order of summing
