"""What the nearest reference rows lend to a target row."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec

SIMILARITY, NEAREST_ROW = "similarity", "nearest_row"
_DECIMALS = 12  # of summed weights: sums in another order are still a tie


def borrow(
    reference_rows: pd.DataFrame,
    fields: Mapping[str, FieldSpec],
    index_QK: np.ndarray,
    similarity_QK: np.ndarray,
    temperature: float,
) -> pd.DataFrame:
    """Give each target row the metadata of its nearest reference rows.

    One neighbour lends its values as they are, missing ones included. Several are weighted by
    softmax(similarity / temperature) over those that know the field: a number is their weighted mean, a category the
    one of the largest summed weight (the nearer neighbour's on a tie), an option of a checkbox group is ticked where
    at least half of the weight has it ticked. A value that no neighbour knows is missing.

    Args:
        reference_rows: The columns of the fields, R rows; the index is ignored.
        fields: Fields to borrow.
        index_QK: Reference rows by position, int (Q, K), nearest first.
        similarity_QK: Their cosine similarities, float (Q, K).
        temperature: Of the softmax, > 0; without effect where K = 1.

    Returns:
        Q rows: the columns of the fields with their dtypes (means of whole-number columns are float64), `similarity`
        of the nearest neighbour and `nearest_row`, its position.

    Raises:
        ValueError: If a field's column isn't there or is named like one of those two, or index and similarity don't
            fit each other, the rows or the temperature.
    """
    kind_of = {column: field.kind for name, field in fields.items() for column in field.table_columns(name)}
    _check(reference_rows, list(kind_of), index_QK, similarity_QK, temperature)
    if index_QK.shape[1] == 1:
        lent = reference_rows[list(kind_of)].take(index_QK[:, 0]).reset_index(drop=True)
    else:
        logit_QK = similarity_QK.astype(np.float64) / temperature
        lend = {"numeric": _mean, "categorical": _commonest, "checkbox": _majority}
        columns = {name: lend[kind](reference_rows[name], index_QK, logit_QK) for name, kind in kind_of.items()}
        lent = pd.DataFrame(columns, index=range(len(index_QK)))
    return lent.assign(**{SIMILARITY: similarity_QK[:, 0], NEAREST_ROW: index_QK[:, 0]})


def _mean(column: pd.Series, index_QK: np.ndarray, logit_QK: np.ndarray) -> pd.Series:
    value_QK = column.to_numpy(dtype=np.float64, na_value=np.nan)[index_QK]
    weight_QK = _weights(logit_QK, ~np.isnan(value_QK))
    mean = pd.Series((weight_QK * np.nan_to_num(value_QK)).sum(axis=1)).where(~np.isnan(value_QK).all(axis=1))
    return mean.astype(column.dtype) if pd.api.types.is_float_dtype(column.dtype) else mean


def _commonest(column: pd.Series, index_QK: np.ndarray, logit_QK: np.ndarray) -> pd.Series:
    code_QK = pd.factorize(column)[0][index_QK]
    weight_QK = _weights(logit_QK, code_QK >= 0)
    votes = [(weight_QK * (code_QK == code_Q[:, None])).sum(axis=1) for code_Q in code_QK.T]
    winner_Q = np.stack(votes, axis=1).round(_DECIMALS).argmax(axis=1)  # the first, so the nearest, of equals
    # Where no neighbour knows the field, any of them is missing.
    return column.take(np.take_along_axis(index_QK, winner_Q[:, None], axis=1)[:, 0]).reset_index(drop=True)


def _majority(column: pd.Series, index_QK: np.ndarray, logit_QK: np.ndarray) -> pd.Series:
    share = _mean(column.astype("boolean").astype("Float64"), index_QK, logit_QK)
    return (share.round(_DECIMALS) >= 0.5).astype(column.dtype)


def _weights(logit_QK: np.ndarray, known_QK: np.ndarray) -> np.ndarray:
    """Softmax over the neighbours that know the field, 0 for the others and where none does."""
    known_logit_QK = np.where(known_QK, logit_QK, -np.inf)
    top_Q1 = known_logit_QK.max(axis=1, keepdims=True)
    weight_QK = np.exp(known_logit_QK - np.where(np.isfinite(top_Q1), top_Q1, 0))
    return weight_QK / np.maximum(weight_QK.sum(axis=1, keepdims=True), 1)  # the top one alone weighs 1


def _check(
    reference_rows: pd.DataFrame,
    columns: list[str],
    index_QK: np.ndarray,
    similarity_QK: np.ndarray,
    temperature: float,
) -> None:
    if absent := sorted(set(columns) - set(reference_rows)):
        raise ValueError(f"the reference has no column {', '.join(absent)}. Leave these fields out.")
    if taken := sorted({SIMILARITY, NEAREST_ROW} & set(columns)):
        raise ValueError(f"a field may not be called {', '.join(taken)}: a column of the borrowed table is")
    if index_QK.ndim != 2 or not index_QK.shape[1] or index_QK.shape != similarity_QK.shape:
        raise ValueError(
            f"index and similarity have shapes {index_QK.shape} and {similarity_QK.shape}: both must be (Q, K), K >= 1"
        )
    if index_QK.size and not 0 <= index_QK.min() <= index_QK.max() < len(reference_rows):
        raise ValueError(f"neighbours must be rows 0 to {len(reference_rows) - 1} of the reference")
    if np.isnan(similarity_QK).any() or not temperature > 0:
        raise ValueError(f"similarities may not be NaN and the temperature, {temperature}, must be above 0")
