"""Nearest pictures of a cohort among its own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.quality import neighbours
from slimp_pipeline.quality.neighbours import distances, nearest_others

CPU = torch.device("cpu")


def slow_nearest(embedding_ND, group_N, k):
    """One pair at a time."""
    index_NK = np.full((len(embedding_ND), k), -1)
    distance_NK = np.full((len(embedding_ND), k), np.inf)
    for row, own in enumerate(embedding_ND.astype(float)):
        found = []
        for other, vector in enumerate(embedding_ND.astype(float)):
            if group_N[row] != group_N[other]:
                lengths = np.linalg.norm(own) * np.linalg.norm(vector)
                found.append((round(1 - (own @ vector / lengths if lengths else 0.0), 6), other))
        for place, (distance, other) in enumerate(sorted(found)[:k]):
            index_NK[row, place], distance_NK[row, place] = other, distance
    return index_NK, distance_NK


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 8), st.integers(1, 70), st.sampled_from([0, 7, 2**18]))
def test_neighbours_equal_a_slow_loop_whatever_the_blocks_and_the_way(seed, num_rows, k, rows_per_block, most_sparse):
    rng = np.random.default_rng(seed)
    embedding_ND = rng.normal(size=(num_rows, 4)).astype(np.float32) * 10.0 ** rng.integers(-3, 4, (num_rows, 1))
    patient_N = rng.integers(0, max(1, num_rows // 3), num_rows)
    groups = [np.arange(num_rows), patient_N]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_MOST_SPARSE", most_sparse)
        found = nearest_others(embedding_ND, groups, k, device=CPU, rows_per_block=rows_per_block)
    for nearest, group_N in zip(found, groups, strict=True):
        index_NK, distance_NK = slow_nearest(embedding_ND, group_N, k)
        np.testing.assert_array_equal(nearest.index_NK, index_NK)
        np.testing.assert_allclose(nearest.distance_NK, distance_NK, atol=2e-6)
        assert nearest.index_NK.dtype == np.int64 and nearest.distance_NK.dtype == np.float32


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 9))
def test_whole_numbers_with_ties_give_the_distances_of_a_slow_loop(seed, num_rows, rows_per_block):
    rng = np.random.default_rng(seed)
    embedding_ND = rng.integers(-2, 3, (num_rows, 3)).astype(np.float32)  # repeated rows, and rows of zeros
    (nearest,) = nearest_others(embedding_ND, [np.arange(num_rows)], 3, device=CPU, rows_per_block=rows_per_block)
    np.testing.assert_allclose(nearest.distance_NK, slow_nearest(embedding_ND, np.arange(num_rows), 3)[1], atol=2e-6)
    assert not (nearest.index_NK == np.arange(num_rows)[:, None]).any()
    for row, index_K in enumerate(nearest.index_NK):
        kept = index_K[index_K >= 0]
        assert len(set(kept)) == len(kept) == min(3, num_rows - 1), row
        np.testing.assert_array_equal(
            distances(embedding_ND, np.stack([np.full(len(kept), row), kept], axis=1)),
            nearest.distance_NK[row, : len(kept)],
        )


@given(st.integers(0, 10**6))
def test_neighbours_dont_depend_on_the_order_of_pictures(seed):
    rng = np.random.default_rng(seed)
    embedding_ND, patient_N = rng.normal(size=(50, 6)).astype(np.float32), rng.integers(0, 12, 50)
    (nearest,) = nearest_others(embedding_ND, [patient_N], 4, device=CPU, rows_per_block=16)
    order = rng.permutation(50)
    (turned,) = nearest_others(embedding_ND[order], [patient_N[order]], 4, device=CPU, rows_per_block=16)
    np.testing.assert_array_equal(order[turned.index_NK], nearest.index_NK[order])
    np.testing.assert_array_equal(turned.distance_NK, nearest.distance_NK[order])


def test_equal_embeddings_are_exactly_0_apart_and_opposite_ones_2():
    vector = np.random.default_rng(0).normal(size=384).astype(np.float32)
    embedding_ND = np.stack([vector, 7 * vector, -vector])
    (nearest,) = nearest_others(embedding_ND, [np.arange(3)], 2, device=CPU)
    assert nearest.distance_NK.tolist() == [[0, 2], [0, 2], [2, 2]]
    assert nearest.index_NK.tolist() == [[1, 2], [0, 2], [0, 1]]


def test_distances_are_symmetric():
    embedding_ND = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    pair_E2 = np.stack(np.triu_indices(9, 1), axis=1)
    np.testing.assert_array_equal(distances(embedding_ND, pair_E2), distances(embedding_ND, pair_E2[:, ::-1]))


def test_a_cohort_of_one_patient_has_no_neighbours_of_others():
    (nearest,) = nearest_others(np.eye(3, dtype=np.float32), [np.zeros(3, dtype=int)], 2, device=CPU)
    assert (nearest.index_NK == -1).all() and np.isinf(nearest.distance_NK).all()
