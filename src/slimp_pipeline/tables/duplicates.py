"""Duplicates: photographs of the same bytes or nearly the same picture, and lesions that two patients share."""

import logging

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SEEN_COLUMNS = ["image_id", "seen_as", "kind"]
logger = logging.getLogger(__name__)
_NUM_BANDS = 4  # 64 bits in 4 bands: pairs that differ in <= 3 bits agree in at least one band
_MAX_BUCKET = 2000  # larger buckets hold blank pictures, not duplicates


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
    near = [(a, b) for a, b in _near_pairs(value_H) if int(value_H[a] ^ value_H[b]).bit_count() <= max_bits]
    one_E, other_E = np.array(near, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(near)), (one_E, other_E)), shape=(len(value_H), len(value_H)))
    return connected_components(graph, directed=False)[1].astype(np.int64)[number_N]


def _near_pairs(hashes: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows whose hashes differ in 3 bits at most, in order."""
    return sorted({pair for band in range(_NUM_BANDS) for pair in _candidates(hashes, band)})


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
        for a, b in sorted(twins.union(_near_pairs(hashes)))
        if digests[a] == digests[b] or int(hashes[a] ^ hashes[b]).bit_count() <= max_bits
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


def _candidates(hashes: np.ndarray, band: int) -> list[tuple[int, int]]:
    keys = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    pairs = []
    for bucket in np.split(order, bounds):
        if len(bucket) > _MAX_BUCKET:
            logger.warning(
                "%d pictures have hashes alike: near duplicates among them aren't searched (identical ones are)",
                len(bucket),
            )
        elif len(bucket) > 1:
            bucket = np.sort(bucket)
            distance = np.bitwise_count(hashes[bucket, None] ^ hashes[None, bucket])
            near = np.argwhere(np.triu(distance <= 3, k=1))
            pairs += [(int(bucket[i]), int(bucket[j])) for i, j in near]
    return pairs
