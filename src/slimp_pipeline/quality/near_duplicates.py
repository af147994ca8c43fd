"""Near duplicates: pairs of pictures near in embedding and perceptual hash, also within a patient and a lesion."""

import numpy as np
import pandas as pd

from slimp_pipeline.quality.neighbours import Nearest, distances
from slimp_pipeline.quality.surprise import surprise
from slimp_pipeline.quality.turned_hashes import turned_distance
from slimp_pipeline.tables.duplicates import near_pairs


def rank_pairs(
    pictures: pd.DataFrame, embedding_ND: np.ndarray, nearest: Nearest, hash_bits: int, max_pairs: int
) -> pd.DataFrame:
    """Rank pairs of pictures by how few pairs are as near, in embedding and hash together (`surprise`).

    Candidates are all pairs of nearest neighbours, and those of equal bytes or of nearly equal hashes.

    Args:
        pictures: patient_id, lesion_id, sha256, perceptual_hash (64-bit); N rows.
        embedding_ND: Their embeddings.
        nearest: Nearest pictures, of whatever patient.
        hash_bits: Hashes that differ in so many bits (0 to 3) make a candidate by themselves.
        max_pairs: How many are returned; those of the same bytes whatever their number.

    Returns:
        row, other_row (the lower one first), score, hash_distance_bits (least over turned and mirrored pictures),
        embedding_distance (cosine), relation (`same lesion`, `same patient`, `different patients`), same_bytes; the
        highest scores first.

    Source:
        Ranking pairs by their distance is an idea of SelfClean, Groeger et al., arXiv:2305.17048.
    """
    pair_E2 = _candidates(pictures, nearest, hash_bits)
    hash_N = pictures["perceptual_hash"].to_numpy(dtype=np.uint64)
    bits_E = turned_distance(hash_N[pair_E2[:, 0]], hash_N[pair_E2[:, 1]])
    distance_E = distances(embedding_ND, pair_E2)
    score_E = surprise(bits_E, distance_E)
    is_copy_E = _equal(pictures, "sha256", *pair_E2.T)
    order = np.lexsort((pair_E2[:, 1], pair_E2[:, 0], distance_E, -score_E))
    order = order[(np.arange(len(order)) < max_pairs) | is_copy_E[order]]
    row, other = pair_E2[order].T
    return pd.DataFrame(
        {
            "row": row,
            "other_row": other,
            "score": score_E[order],
            "hash_distance_bits": bits_E[order].astype(np.int64),
            "embedding_distance": distance_E[order],
            "relation": _relation(pictures, row, other),
            "same_bytes": is_copy_E[order],
        }
    )


def _candidates(pictures: pd.DataFrame, nearest: Nearest, hash_bits: int) -> np.ndarray:
    """Pairs of rows, int64 (E, 2): the lower row first, each pair once, in order."""
    num_rows, num_neighbours = nearest.index_NK.shape
    found_E2 = np.stack([np.repeat(np.arange(num_rows), num_neighbours), nearest.index_NK.ravel()], axis=1)
    by_hash_E2 = near_pairs(pictures["perceptual_hash"].to_numpy(dtype=np.uint64), hash_bits)
    twin_of = pictures["sha256"].map(_first_rows(pictures["sha256"])).to_numpy()
    twins_E2 = np.stack([np.arange(num_rows), twin_of], axis=1)
    pair_E2 = np.concatenate([found_E2[found_E2[:, 1] >= 0], by_hash_E2, twins_E2[twin_of != np.arange(num_rows)]])
    key_E = np.unique(pair_E2.min(axis=1) * num_rows + pair_E2.max(axis=1))  # half the memory of unique rows
    return np.stack(np.divmod(key_E, num_rows), axis=1)


def _first_rows(digests: pd.Series) -> pd.Series:
    """The first row of each digest."""
    firsts = ~digests.duplicated().to_numpy()
    return pd.Series(np.flatnonzero(firsts), index=digests[firsts])


def _relation(pictures: pd.DataFrame, row: np.ndarray, other: np.ndarray) -> np.ndarray:
    within = [_equal(pictures, "lesion_id", row, other), _equal(pictures, "patient_id", row, other)]
    return np.select(within, ["same lesion", "same patient"], "different patients")


def _equal(pictures: pd.DataFrame, column: str, row: np.ndarray, other: np.ndarray) -> np.ndarray:
    values = pictures[column].to_numpy()
    return values[row] == values[other]
