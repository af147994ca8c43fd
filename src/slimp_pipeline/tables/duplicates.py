"""Duplicates: photographs of the same bytes or nearly the same picture, and lesions that two patients share."""

import logging
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SEEN_COLUMNS = ["image_id", "seen_as", "kind"]
logger = logging.getLogger(__name__)
_NUM_BANDS, _NUM_EQUAL = 6, 3  # of 6 bands of 64 bits, 3 flipped bits leave 3 as they are
_MAX_BUCKET = 2000  # larger ones are blank pictures, not duplicates
_MAX_CANDIDATES = 20_000  # different hashes that agree in three bands


def find_duplicates(images: pd.DataFrame, max_bits: int) -> pd.DataFrame:
    """Find pairs of images of different patients that show the same picture, or the same lesion.

    Args:
        images: image_id, lesion_id, patient_id, fold, sha256, perceptual_hash (64-bit).
        max_bits: Greatest Hamming distance of near duplicates, 0 to 3 (exact search up to 3).

    Returns:
        image_a, image_b, kind (`same bytes`, `near` or `same lesion`), across_folds (bool); a pair stands once. Of
        a lesion that several patients share, each patient's first image makes a pair with the first patient's.
    """
    patients, folds, ids = (images[name].to_numpy() for name in ("patient_id", "fold", "image_id"))
    rows = [
        (ids[a], ids[b], kind, bool(folds[a] != folds[b]))
        for a, b, kind in _same_pictures(images, max_bits)
        if patients[a] != patients[b]
    ]
    rows += _shared_lesions(images, {(a, b) for a, b, _, _ in rows})
    return pd.DataFrame(rows, columns=["image_a", "image_b", "kind", "across_folds"])


def find_seen_pictures(tested: pd.DataFrame, trained: pd.DataFrame, max_bits: int) -> pd.DataFrame:
    """Find pictures to be tested on that another cohort's training saw, under whatever name.

    Args:
        tested, trained: image_id, sha256, perceptual_hash (64-bit).
        max_bits: As in `find_duplicates`.

    Returns:
        `SEEN_COLUMNS`: image tested on, image trained on, kind (`same bytes` or `near`); a row per pair.
    """
    images = pd.concat([tested, trained], ignore_index=True)
    ids, num_tested = images["image_id"].to_numpy(), len(tested)
    rows = [
        (ids[a], ids[b], kind)
        for a, b, kind in _same_pictures(images, max_bits, twins_from=num_tested)
        if a < num_tested <= b
    ]
    return pd.DataFrame(rows, columns=SEEN_COLUMNS)


def number_pictures(hash_N: np.ndarray, max_bits: int) -> np.ndarray:
    """Number pictures by perceptual hash, nearly equal ones alike, also by way of others: int64 (N,).

    Args:
        hash_N: 64-bit hashes, uint64 (N,).
        max_bits: As in `find_duplicates`.
    """
    value_H, number_N = np.unique(hash_N, return_inverse=True)
    one_E, other_E = near_pairs(value_H, max_bits).T
    graph = coo_array((np.ones(len(one_E)), (one_E, other_E)), shape=(len(value_H), len(value_H)))
    return connected_components(graph, directed=False)[1].astype(np.int64)[number_N]


def near_pairs(hash_N: np.ndarray, max_bits: int) -> np.ndarray:
    """Pairs of rows whose hashes differ in `max_bits` (0 to 3) at most: int64 (E, 2), each once, in order.

    Rows of one hash that are more than `_MAX_BUCKET` are left out, with a warning.
    """
    value_H, group_N, size_H = np.unique(hash_N, return_inverse=True, return_counts=True)
    for size in size_H[size_H > _MAX_BUCKET]:
        _warn(size)
    kept_N = np.flatnonzero(size_H[group_N] <= _MAX_BUCKET)
    equal = [kept_N[pair_E2] for pair_E2 in _equal_pairs(group_N[kept_N], _MAX_BUCKET)]
    near_E2 = _near_values(value_H, max_bits)
    near_E2 = near_E2[(size_H[near_E2] <= _MAX_BUCKET).all(axis=1)]
    pair_E2 = np.concatenate([*equal, _of_groups(near_E2, group_N, size_H)])
    pair_E2 = np.sort(pair_E2, axis=1)
    return pair_E2[np.lexsort(pair_E2.T[::-1])]


def _near_values(value_H: np.ndarray, max_bits: int) -> np.ndarray:
    """Pairs of different hashes that differ in `max_bits` at most, (E, 2): they agree in three bands of six."""
    bands = np.array_split(np.arange(64, dtype=np.uint64), _NUM_BANDS)
    masks = [np.bitwise_or.reduce(np.uint64(1) << band) for band in bands]
    found = [np.empty((0, 2), dtype=np.int64)]
    for chosen in combinations(masks, _NUM_EQUAL) if max_bits else ():
        for pair_E2 in _equal_pairs(value_H & np.bitwise_or.reduce(chosen), _MAX_CANDIDATES):
            one_E, other_E = value_H[pair_E2].T
            found.append(pair_E2[np.bitwise_count(one_E ^ other_E) <= max_bits])
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _equal_pairs(key_N: np.ndarray, max_size: int) -> Iterator[np.ndarray]:
    """All pairs of rows of equal keys, (E, 2), in parts; where more than `max_size` are equal, none, with a warning."""
    order_N = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order_N]
    starts = np.flatnonzero(np.r_[True, sorted_N[1:] != sorted_N[:-1]]) if len(key_N) else np.empty(0, dtype=np.int64)
    size_K = np.diff(np.r_[starts, len(key_N)])
    for size in size_K[size_K > max_size]:
        _warn(size)
    left_N = np.repeat(np.where(size_K > max_size, 0, starts + size_K), size_K)  # where each one's equals end
    first_N, step = np.arange(len(key_N)), 1
    while len(first_N := first_N[first_N + step < left_N[first_N]]):
        yield np.stack([order_N[first_N], order_N[first_N + step]], axis=1)
        step += 1


def _of_groups(group_E2: np.ndarray, group_N: np.ndarray, size_H: np.ndarray) -> np.ndarray:
    """Pairs of groups as pairs of their rows, each with each."""
    order_N, starts_H = np.argsort(group_N, kind="stable"), np.cumsum(size_H) - size_H
    one_E, other_E = group_E2.T
    num_E = size_H[one_E] * size_H[other_E]
    within = np.arange(num_E.sum()) - np.repeat(np.cumsum(num_E) - num_E, num_E)
    num_other = np.repeat(size_H[other_E], num_E)
    one = np.repeat(starts_H[one_E], num_E) + within // num_other
    other = np.repeat(starts_H[other_E], num_E) + within % num_other
    return np.stack([order_N[one], order_N[other]], axis=1)


def _warn(num_pictures: int) -> None:
    logger.warning(
        "%d pictures have hashes alike: near duplicates among them aren't searched (identical ones are)", num_pictures
    )


def _same_pictures(images: pd.DataFrame, max_bits: int, twins_from: int = 0) -> list[tuple[int, int, str]]:
    """Pairs of rows of the same bytes or nearly the same picture, in order, and which of the two they are.

    Near pictures come from buckets, of which large ones are skipped. Lest these hide identical ones, every row is
    paired besides with the first of the same bytes among the rows from `twins_from` on.
    """
    digests, hashes = images["sha256"].to_numpy(), images["perceptual_hash"].to_numpy(dtype=np.uint64)
    first = {digest: twins_from + row for row, digest in reversed(list(enumerate(digests[twins_from:])))}
    twins = {(min(row, first[d]), max(row, first[d])) for row, d in enumerate(digests) if first.get(d, row) != row}
    return [
        (a, b, "same bytes" if digests[a] == digests[b] else "near")
        for a, b in sorted(twins.union(map(tuple, near_pairs(hashes, max_bits).tolist())))
    ]


def _shared_lesions(images: pd.DataFrame, known: set[tuple[str, str]]) -> list[tuple[str, str, str, bool]]:
    firsts = images.dropna(subset="lesion_id").drop_duplicates(["lesion_id", "patient_id"])
    shared = firsts[firsts["lesion_id"].duplicated(keep=False)]
    rows = []
    for _, own in shared.groupby("lesion_id", sort=True):
        first, *others = own.sort_values("image_id").itertuples()
        for other in others:
            if (first.image_id, other.image_id) not in known:
                rows.append((first.image_id, other.image_id, "same lesion", bool(first.fold != other.fold)))
    return rows
