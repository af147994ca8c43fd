"""Pairs of pictures that are near in embedding and hash."""

import numpy as np
import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.quality.near_duplicates import rank_pairs
from slimp_pipeline.quality.neighbours import nearest_others

CPU = torch.device("cpu")
LARGE = 10**6


def ranked(pictures, embedding_ND, k=2, hash_bits=3, max_pairs=LARGE):
    (nearest,) = nearest_others(embedding_ND, [np.arange(len(pictures))], k, device=CPU)
    return rank_pairs(pictures, embedding_ND, nearest, hash_bits, max_pairs)


def random_cohort(make_pictures, seed, count=30):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(2**64, size=count, dtype=np.uint64).tolist()
    patients = [f"p{n}" for n in rng.integers(0, 8, count)]
    pictures = make_pictures(hashes, patient_id=patients)
    return pictures, rng.normal(size=(count, 5)).astype(np.float32)


def test_a_copy_comes_first_and_one_that_both_measures_find_before_one_that_a_single_one_finds(make_pictures):
    pictures, embedding_ND = random_cohort(make_pictures, 0)
    hashes, digests = (pictures[name].to_numpy(copy=True) for name in ("perceptual_hash", "sha256"))
    hashes[1], digests[1], embedding_ND[1] = hashes[0], digests[0], embedding_ND[0]  # a copy
    hashes[3], embedding_ND[3] = hashes[2] ^ np.uint64(1), embedding_ND[2] + 1e-3  # encoded again
    hashes[5] = hashes[4] ^ np.uint64(1)  # the hash alone
    pictures = pictures.assign(perceptual_hash=hashes, sha256=digests)
    found = ranked(pictures, embedding_ND)
    assert found[["row", "other_row"]].head(2).to_numpy().tolist() == [[0, 1], [2, 3]]
    assert found["same_bytes"].tolist() == [True] + [False] * (len(found) - 1)
    first = found.iloc[0]
    assert first["hash_distance_bits"] == 0 and first["embedding_distance"] == 0
    assert [4, 5] in found[["row", "other_row"]].to_numpy().tolist()  # though they aren't neighbours


def test_the_score_is_worked_out_by_hand(make_pictures):
    # Three pictures, three pairs: bits 0, 1, 1 and distances 1 - cos of 0, 45 and 45 degrees.
    pictures = make_pictures([0, 0, 1])
    embedding_ND = np.array([[1, 0], [1, 0], [1, 1]], dtype=np.float32)
    found = ranked(pictures, embedding_ND)
    assert found[["row", "other_row"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(found["score"], [2 * np.log10(3), 0, 0], atol=1e-12)
    np.testing.assert_allclose(found["embedding_distance"], [0, 1 - 0.5**0.5, 1 - 0.5**0.5], atol=1e-6)
    assert found["hash_distance_bits"].tolist() == [0, 1, 1]


def test_pairs_within_a_patient_and_a_lesion_are_found_and_named_so(make_pictures):
    pictures = make_pictures([7] * 3, patient_id=["a", "a", "a"], lesion_id=["l", "l", "m"])
    found = ranked(pictures, np.ones((3, 2), dtype=np.float32)).set_index(["row", "other_row"])["relation"]
    assert found.to_dict() == {(0, 1): "same lesion", (0, 2): "same patient", (1, 2): "same patient"}
    other = make_pictures([7] * 2)
    assert ranked(other, np.ones((2, 2), dtype=np.float32))["relation"].tolist() == ["different patients"]


@given(st.integers(0, 10**6))
def test_the_ranking_doesnt_depend_on_the_order_of_pictures(seed):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(2**64, size=20, dtype=np.uint64)
    pictures = pd.DataFrame({name: [f"{name}{n}" for n in range(20)] for name in ("patient_id", "lesion_id", "sha256")})
    pictures = pictures.assign(perceptual_hash=hashes)
    embedding_ND, order = rng.normal(size=(20, 4)).astype(np.float32), rng.permutation(20)
    found = ranked(pictures, embedding_ND)
    turned = ranked(pictures.iloc[order].reset_index(drop=True), embedding_ND[order])
    pairs = {frozenset(pair): score for *pair, score in found[["row", "other_row", "score"]].to_numpy()}
    again = {
        frozenset((order[int(a)], order[int(b)])): score
        for a, b, score in turned[["row", "other_row", "score"]].to_numpy()
    }
    assert {tuple(sorted(map(int, pair))): score for pair, score in pairs.items()} == {
        tuple(sorted(map(int, pair))): score for pair, score in again.items()
    }


def test_every_pair_of_nearest_neighbours_stands_once_with_scores_in_order(make_pictures):
    pictures, embedding_ND = random_cohort(make_pictures, 3)
    (nearest,) = nearest_others(embedding_ND, [np.arange(30)], 4, device=CPU)
    found = rank_pairs(pictures, embedding_ND, nearest, 0, LARGE)
    expected = {tuple(sorted((row, int(other)))) for row in range(30) for other in nearest.index_NK[row]}
    assert set(found[["row", "other_row"]].itertuples(index=False, name=None)) == expected
    assert len(found) == len(expected) and found["score"].is_monotonic_decreasing
    assert len(rank_pairs(pictures, embedding_ND, nearest, 0, 5)) == 5


def test_copies_are_found_where_they_are_more_than_neighbours_are_looked_at(make_pictures):
    pictures = make_pictures([5] * 9, sha256=["same"] * 9)
    found = ranked(pictures, np.ones((9, 2), dtype=np.float32), k=1, hash_bits=0)
    joined = {0}
    for _ in range(9):
        joined |= {b for a, b in found[["row", "other_row"]].to_numpy() if a in joined}
    assert joined == set(range(9))
