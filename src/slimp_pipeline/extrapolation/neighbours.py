"""Nearest reference images by cosine, exact, in bounded memory."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

_QUERIES_PER_CHUNK = 512
# A candidate is one float64: similarity in steps of 2**-24, times 2**28, less the reference row. That is an integer
# below 2**53, so exact, and ties go to the lower row. Rounding errors of the sums depend on how the rows are cut, but
# at 1e-16 they are far below a step.
_STEPS, _MAX_ROWS = 2.0**24, 2**28
_EXCLUDED = -float("inf")


def nearest(
    query_QD: np.ndarray,
    reference_RD: np.ndarray,
    k: int,
    *,
    device: torch.device,
    rows_per_chunk: int,
    query_keys: Sequence[np.ndarray] = (),
    reference_keys: Sequence[np.ndarray] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k reference rows of highest cosine similarity to each query.

    The result doesn't depend on how the rows are cut. A vector of zeros has similarity 0 to every other.

    Args:
        query_QD: Float (Q, D).
        reference_RD: Float (R, D), k <= R < 2**28; may be memory-mapped.
        k: Neighbours per query, >= 1.
        device: Where similarities are computed, in float64; the CPU in place of MPS, which has none.
        rows_per_chunk: Reference rows compared at once; memory is about rows_per_chunk * (2 * D + 512) * 8 bytes.
        query_keys: One int (Q,) per kind of key, such as patient or picture; -1: none.
        reference_keys: The same kinds, int (R,) each. A reference row is never a neighbour of a query with which it
            shares a key.

    Returns:
        Reference rows, int64 (Q, k), nearest first, the lower row first where similarities are equal; and their
        similarities, float32 (Q, k), to within 2**-25.

    Raises:
        ValueError: If shapes don't fit, a value isn't finite, or fewer than k reference rows are left for a query.
    """
    _check(query_QD, reference_RD, k, rows_per_chunk, query_keys, reference_keys)
    device = torch.device("cpu") if device.type == "mps" else device
    best_QK = torch.full((len(query_QD), k), _EXCLUDED, dtype=torch.float64, device=device)
    for start in range(0, len(reference_RD), rows_per_chunk):
        rows = slice(start, start + rows_per_chunk)
        reference_CD = _unit(reference_RD[rows], device, "reference")
        row_C = torch.arange(start, start + len(reference_CD), dtype=torch.float64, device=device)
        buffer_BC = torch.empty((_QUERIES_PER_CHUNK, len(row_C)), dtype=torch.float64, device=device)
        for first in range(0, len(query_QD), _QUERIES_PER_CHUNK):
            queries = slice(first, first + _QUERIES_PER_CHUNK)
            query_BD = _unit(query_QD[queries], device, "query").mul_(_STEPS)
            score_BC = torch.matmul(query_BD, reference_CD.T, out=buffer_BC[: len(query_BD)])
            score_BC.round_().mul_(_MAX_ROWS).sub_(row_C)
            for query_key_Q, reference_key_R in zip(query_keys, reference_keys, strict=True):
                _exclude(score_BC, query_key_Q[queries], reference_key_R[rows])
            found_BK, _ = score_BC.topk(min(k, len(row_C)), dim=1)
            best_QK[queries], _ = torch.cat([best_QK[queries], found_BK], dim=1).topk(k, dim=1)
    return _decode(best_QK.cpu().numpy())


def shared_keys(query: pd.Series, reference: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Number the text keys of both (patient ids, checksums), equal keys alike; int64, -1 where missing."""
    both = pd.concat([query, reference], ignore_index=True).astype("str")
    code_N = pd.factorize(both)[0].astype(np.int64)
    return code_N[: len(query)], code_N[len(query) :]


def _unit(vector_ND: np.ndarray, device: torch.device, name: str) -> Tensor:
    vectors = torch.from_numpy(np.array(vector_ND, dtype=np.float64)).to(device)
    if not torch.isfinite(vectors).all():
        raise ValueError(f"{name} embeddings hold values that aren't finite: embed these images anew")
    return torch.nn.functional.normalize(vectors, dim=1, eps=1e-60, out=vectors)


def _exclude(score_BC: Tensor, query_key_B: np.ndarray, reference_key_C: np.ndarray) -> None:
    """Take out, in place, the pairs that share a key; only columns that have a query's key are compared."""
    held_C = np.flatnonzero(np.isin(reference_key_C, query_key_B[query_key_B >= 0]))
    if not held_C.size:
        return
    shared_BH = torch.from_numpy(query_key_B[:, None] == reference_key_C[held_C]).to(score_BC.device)
    columns = torch.from_numpy(held_C).to(score_BC.device)
    score_BC[:, columns] = score_BC[:, columns].masked_fill_(shared_BH, _EXCLUDED)


def _decode(best_QK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    num_left_Q = np.isfinite(best_QK).sum(axis=1)
    short = np.flatnonzero(num_left_Q < best_QK.shape[1])
    if short.size:
        worst = short[num_left_Q[short].argmin()]
        raise ValueError(
            f"{best_QK.shape[1]} neighbours are asked for, but {short.size} of {len(best_QK)} queries have fewer "
            f"reference rows left once those of the same key are taken out (query row {worst}: {num_left_Q[worst]}). "
            "Set extrapolation.num_neighbours lower, or give a larger reference."
        )
    step_QK = np.ceil(best_QK / _MAX_ROWS)
    return (step_QK * _MAX_ROWS - best_QK).astype(np.int64), (step_QK / _STEPS).astype(np.float32)


def _check(
    query_QD: np.ndarray,
    reference_RD: np.ndarray,
    k: int,
    rows_per_chunk: int,
    query_keys: Sequence[np.ndarray],
    reference_keys: Sequence[np.ndarray],
) -> None:
    if k < 1 or rows_per_chunk < 1:
        raise ValueError(f"k is {k}, rows_per_chunk {rows_per_chunk}: both must be at least 1")
    if query_QD.ndim != 2 or reference_RD.ndim != 2 or query_QD.shape[1] != reference_RD.shape[1]:
        raise ValueError(
            f"query and reference embeddings have shapes {query_QD.shape} and {reference_RD.shape}: "
            "both need two dimensions and the same width. Embed both with one encoder."
        )
    if len(reference_RD) >= _MAX_ROWS:
        raise ValueError(f"the reference has {len(reference_RD)} rows: fewer than {_MAX_ROWS} can be searched")
    if k > len(reference_RD):
        raise ValueError(
            f"the reference has {len(reference_RD)} rows, {k} neighbours are asked for. "
            "Set extrapolation.num_neighbours lower, or give a larger reference."
        )
    for keys, vectors, name in ((query_keys, query_QD, "query"), (reference_keys, reference_RD, "reference")):
        if len(keys) != len(query_keys) or any(key.shape != (len(vectors),) for key in keys):
            raise ValueError(
                f"{name} keys have shapes {[key.shape for key in keys]}: {len(query_keys)} arrays of shape "
                f"({len(vectors)},) are needed"
            )
