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
    hashes = images["perceptual_hash"].to_numpy(dtype=np.uint64)
    rows = []
    for a, b in sorted({*_near_pairs(hashes), *_same_bytes(images["sha256"])}):
        left, right = images.iloc[a], images.iloc[b]
        same = left["sha256"] == right["sha256"]
        bits = int(hashes[a] ^ hashes[b]).bit_count()
        if left["patient_id"] != right["patient_id"] and (same or bits <= max_bits):
            kind = "same bytes" if same else "near"
            rows.append((left["image_id"], right["image_id"], kind, bool(left["fold"] != right["fold"])))
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
    hashes = images["perceptual_hash"].to_numpy(dtype=np.uint64)
    rows = []
    across = {pair for pair in _near_pairs(hashes) if pair[0] < len(tested) <= pair[1]}
    for a, b in sorted(across | _same_bytes_across(tested["sha256"], trained["sha256"])):
        same = images["sha256"].iloc[a] == images["sha256"].iloc[b]
        if same or int(hashes[a] ^ hashes[b]).bit_count() <= max_bits:
            rows.append((images["image_id"].iloc[a], images["image_id"].iloc[b], "same bytes" if same else "near"))
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


def _same_bytes(sha256: pd.Series) -> set[tuple[int, int]]:
    """Each row with the first of the same bytes: pairs that no large bucket hides."""
    first = pd.Series(np.arange(len(sha256))).groupby(sha256.to_numpy()).transform("first").to_numpy()
    return {(int(a), int(b)) for b, a in enumerate(first) if a != b}


def _same_bytes_across(tested: pd.Series, trained: pd.Series) -> set[tuple[int, int]]:
    """Each row tested on with the first one trained on of the same bytes, numbered after those tested on."""
    first = pd.Series(np.arange(len(trained)) + len(tested), index=trained.to_numpy()).groupby(level=0).first()
    found = tested.map(first)
    return {(a, int(b)) for a, b in enumerate(found) if pd.notna(b)}


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
