"""Retrieval by cosine: keys of the query's class, and the query's own counterpart.

Ties count pessimistically throughout: of keys equally near to a query, the wrong ones come first. Embeddings that
have collapsed into one point thus find nothing, whatever the order of the rows.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.stats import hypergeom
from sklearn.preprocessing import normalize

_MAX_COSINES = 2**22  # compared at once, in each thread
_LEVELS = 1e9  # cosines are told apart to 1 / _LEVELS: those of equal rows may differ by rounding; 2e9 fits in int32


def retrieve_same_class(
    query_QD: np.ndarray,
    key_KD: np.ndarray,
    query_label_Q: np.ndarray,
    key_label_K: np.ndarray,
    ks: Sequence[int],
) -> dict[str, np.ndarray]:
    """Rank all keys by cosine; a key is relevant where its class is the query's.

    Args:
        query_QD: Query embeddings, float (Q, D).
        key_KD: Key embeddings, float (K, D), none of them a query.
        query_label_Q: Class numbers of the queries, int (Q,).
        key_label_K: Class numbers of the keys, int (K,).
        ks: How many results count, each at least 1; more than K count as K.

    Returns:
        Per query, float (Q,): `precision_at_<k>` per k, and `average_precision` over the full ranking, NaN
        without a relevant key.

    Raises:
        ValueError: If a k is below 1, embeddings are not finite, or there are no queries or keys.
    """
    _require_positive(ks)
    num_keys, ranks_K = len(key_KD), np.arange(1, len(key_KD) + 1)
    values = {name: np.empty(len(query_QD)) for name in (*(f"precision_at_{k}" for k in ks), "average_precision")}

    def rank(rows: slice, level_CK: np.ndarray) -> None:
        relevant_CK = query_label_Q[rows, None] == key_label_K
        # A key's number: nearer is lower, among equals the irrelevant is lower; its last bit is the relevance.
        ranked_CK = np.sort(relevant_CK - 2 * level_CK, axis=1) & 1
        precision_CK = ranked_CK.cumsum(axis=1) / ranks_K
        for k in ks:
            values[f"precision_at_{k}"][rows] = precision_CK[:, min(k, num_keys) - 1]
        with np.errstate(invalid="ignore"):
            values["average_precision"][rows] = (precision_CK * ranked_CK).sum(axis=1) / ranked_CK.sum(axis=1)

    _compare(query_QD, key_KD, rank)
    return values


def chance_same_class(query_label_Q: np.ndarray, key_label_K: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Expected values of `retrieve_same_class` when the keys come in random order.

    With R of K keys relevant, precision is R/K at every k, average precision (H + (R - 1)/(K - 1) (K - H)) / K with
    the K-th harmonic number H: a rank's key is relevant with chance R/K, each one before it then (R - 1)/(K - 1).

    Returns:
        As `retrieve_same_class`; float (Q,) each.

    Raises:
        ValueError: If a k is below 1, or there are no keys.

    Source:
        Bestgen 2015, Exact expected average precision of the random baseline for system evaluation.
    """
    _require_positive(ks)
    num_keys = len(key_label_K)
    if not num_keys:
        raise ValueError("there are no keys to retrieve: give at least one")
    classes, num_rows = np.unique(key_label_K, return_counts=True)
    num_relevant_Q = (query_label_Q[:, None] == classes) @ num_rows
    harmonic = (1 / np.arange(1, num_keys + 1)).sum()
    average_Q = (harmonic + (num_relevant_Q - 1) / max(num_keys - 1, 1) * (num_keys - harmonic)) / num_keys
    precisions = {f"precision_at_{k}": num_relevant_Q / num_keys for k in ks}
    return precisions | {"average_precision": np.where(num_relevant_Q > 0, average_Q, np.nan)}


def recall_at_k(
    query_BD: np.ndarray,
    key_BD: np.ndarray,
    group_B: np.ndarray,
    ks: Sequence[int],
    asked_Q: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Tell whether a query's counterpart is among its k nearest keys by cosine.

    Args:
        query_BD: Query embeddings, float (B, D), B >= 2.
        key_BD: Key embeddings, same shape; row i is the counterpart of query i.
        group_B: Group numbers, int (B,). Keys of the query's group are as good as its own (their metadata coincide).
        ks: How many results count, each at least 1.
        asked_Q: Which queries are asked, by position; None: all.

    Returns:
        `recall_at_<k>` per k: 1.0 or 0.0 per query that is asked, float (Q,).

    Raises:
        ValueError: If a k is below 1, shapes differ, B < 2, or embeddings are not finite.
    """
    _require_positive(ks)
    rank_Q = rank_of_own(query_BD, key_BD, group_B, asked_Q)
    return {f"recall_at_{k}": (rank_Q <= k).astype(float) for k in ks}


def rank_of_own(
    query_BD: np.ndarray, key_BD: np.ndarray, group_B: np.ndarray, asked_Q: np.ndarray | None = None
) -> np.ndarray:
    """Place of the nearest key of a query's own group among all keys by cosine, from 1; int (Q,).

    Args:
        query_BD, key_BD, group_B, asked_Q: As of `recall_at_k`.

    Raises:
        ValueError: If shapes differ, B < 2, or embeddings are not finite.
    """
    _require_pairs(group_B)
    if not len(query_BD) == len(key_BD) == len(group_B):
        raise ValueError(f"{len(query_BD)} queries, {len(key_BD)} keys, {len(group_B)} groups: give one of each a row")
    asked_Q = np.arange(len(group_B)) if asked_Q is None else asked_Q
    rank_Q = np.empty(len(asked_Q), dtype=np.int64)

    def find(rows: slice, level_CB: np.ndarray) -> None:
        own_CB = group_B[asked_Q[rows], None] == group_B
        nearest_own_C = level_CB.max(axis=1, where=own_CB, initial=np.iinfo(level_CB.dtype).min)
        rank_Q[rows] = 1 + (~own_CB & (level_CB >= nearest_own_C[:, None])).sum(axis=1)

    _compare(query_BD[asked_Q], key_BD, find)
    return rank_Q


def nearest_keys(query_QD: np.ndarray, key_KD: np.ndarray, num: int) -> np.ndarray:
    """Positions of the nearest keys of each query by cosine, the nearest first; int (Q, min(num, K))."""
    nearest_QN = np.empty((len(query_QD), min(num, len(key_KD))), dtype=np.int64)

    def find(rows: slice, level_CK: np.ndarray) -> None:
        nearest_QN[rows] = np.argsort(-level_CK, axis=1, kind="stable")[:, :num]

    _compare(query_QD, key_KD, find)
    return nearest_QN


def chance_recall_at_k(group_B: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Expected values of `recall_at_k` when the keys come in random order.

    Of B keys, k are seen, without replacement; the chance is that at least one is of the query's group.

    Returns:
        `recall_at_<k>` per k, float (B,).

    Raises:
        ValueError: If a k is below 1, or B < 2.
    """
    _require_positive(ks)
    _require_pairs(group_B)
    _, group_of_row_B, size_G = np.unique(group_B, return_inverse=True, return_counts=True)
    num_keys = len(group_B)
    return {f"recall_at_{k}": 1 - hypergeom.pmf(0, num_keys, size_G, min(k, num_keys))[group_of_row_B] for k in ks}


def _compare(query_QD: np.ndarray, key_KD: np.ndarray, measure: Callable[[slice, np.ndarray], None]) -> None:
    """Give `measure` the queries' cosines to all keys, some queries at a time, in as many threads as torch has.

    Cosines are whole multiples of 1 / _LEVELS, int32 (C, K).
    """
    query_QD, key_KD = (normalize(side.astype(np.float64), copy=False) for side in (query_QD, key_KD))

    def of(rows: slice) -> None:
        cosine_CK = query_QD[rows] @ key_KD.T
        cosine_CK *= _LEVELS  # in place, since this is all of the memory and most of the time
        measure(rows, np.rint(cosine_CK, out=cosine_CK).astype(np.int32))

    size = max(1, _MAX_COSINES // len(key_KD))
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(of, (slice(start, start + size) for start in range(0, len(query_QD), size))))


def _require_positive(ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise ValueError(f"ks = {list(ks)}: name at least one number of results, each at least 1")


def _require_pairs(group_B: np.ndarray) -> None:
    if len(group_B) < 2:
        raise ValueError(f"{len(group_B)} rows: retrieval of counterparts needs at least two to choose from")
