"""Nearest reference rows."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.extrapolation.neighbours import nearest, shared_keys

CPU = torch.device("cpu")


def slow_nearest(query_QD, reference_RD, k, query_keys, reference_keys):
    """One pair at a time; similarities are rounded so that ties are ties."""
    index_QK, similarity_QK = [], []
    for q, query in enumerate(query_QD.astype(float)):
        candidates = []
        for r, reference in enumerate(reference_RD.astype(float)):
            if any(own[q] == other[r] != -1 for own, other in zip(query_keys, reference_keys, strict=True)):
                continue
            lengths = np.linalg.norm(query) * np.linalg.norm(reference)
            candidates.append((-round(query @ reference / lengths if lengths else 0.0, 7), r))
        chosen = sorted(candidates)[:k]
        index_QK.append([r for _, r in chosen])
        similarity_QK.append([-negative for negative, _ in chosen])
    return np.array(index_QK), np.array(similarity_QK)


@st.composite
def cases(draw):
    """Small whole-number embeddings, so with ties, repeated rows and zero vectors; two kinds of key."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    num_queries, num_references = draw(st.integers(1, 8)), draw(st.integers(8, 40))
    query_QD = rng.integers(-2, 3, (num_queries, 3)).astype(np.float32)
    reference_RD = rng.integers(-2, 3, (num_references, 3)).astype(np.float32)
    query_keys = [rng.integers(-1, 12, num_queries), rng.integers(-1, 40, num_queries)]
    reference_keys = [np.arange(num_references) % 14 - 1, rng.integers(-1, 40, num_references)]
    return query_QD, reference_RD, draw(st.integers(1, 3)), query_keys, reference_keys


@given(cases(), st.integers(1, 50))
def test_neighbours_equal_a_slow_loop_whatever_the_chunk_size(case, rows_per_chunk):
    query_QD, reference_RD, k, query_keys, reference_keys = case
    keys = {"query_keys": query_keys, "reference_keys": reference_keys}
    expected_index, expected_similarity = slow_nearest(query_QD, reference_RD, k, query_keys, reference_keys)
    if min(map(len, expected_index)) < k:
        return
    index_QK, similarity_QK = nearest(query_QD, reference_RD, k, device=CPU, rows_per_chunk=rows_per_chunk, **keys)
    np.testing.assert_array_equal(index_QK, expected_index)
    np.testing.assert_allclose(similarity_QK, expected_similarity, atol=1e-6)
    assert index_QK.dtype == np.int64 and similarity_QK.dtype == np.float32


def test_real_valued_neighbours_are_the_same_bit_for_bit_however_rows_and_queries_are_cut(monkeypatch):
    rng = np.random.default_rng(0)
    query_QD = rng.normal(size=(37, 64)).astype(np.float32)
    reference_RD = rng.normal(size=(500, 64)).astype(np.float32)
    reference_RD[250:] = reference_RD[:250]  # every row twice: the lower one wins
    whole = nearest(query_QD, reference_RD, 5, device=CPU, rows_per_chunk=500)
    monkeypatch.setattr("slimp_pipeline.extrapolation.neighbours._QUERIES_PER_CHUNK", 4)
    for rows_per_chunk in (1, 3, 7, 251, 10_000):
        cut = nearest(query_QD, reference_RD, 5, device=CPU, rows_per_chunk=rows_per_chunk)
        np.testing.assert_array_equal(cut[0], whole[0])
        np.testing.assert_array_equal(cut[1], whole[1])
    np.testing.assert_array_equal(whole[0][:, 0] + 250, whole[0][:, 1])


def test_similarities_are_cosines_whatever_the_lengths():
    query_QD = np.array([[3.0, 4.0]], dtype=np.float32)
    reference_RD = np.array([[-3e6, -4e6], [0.0, 7.0], [3e-20, 4e-20], [5.0, 0.0]], dtype=np.float32)
    index_QK, similarity_QK = nearest(query_QD, reference_RD, 4, device=CPU, rows_per_chunk=2)
    np.testing.assert_array_equal(index_QK, [[2, 1, 3, 0]])
    np.testing.assert_allclose(similarity_QK, [[1, 0.8, 0.6, -1]], atol=1e-7)


def test_a_vector_of_zeros_is_at_right_angles_to_everything():
    reference_RD = np.array([[-1, 0], [0, 0], [1, 0]], dtype=np.float32)
    index_QK, similarity_QK = nearest(np.eye(2)[[0]], reference_RD, 3, device=CPU, rows_per_chunk=2)
    np.testing.assert_array_equal(index_QK, [[2, 1, 0]])
    np.testing.assert_array_equal(similarity_QK, [[1, 0, -1]])
    index_QK, similarity_QK = nearest(np.zeros((1, 2)), reference_RD, 3, device=CPU, rows_per_chunk=2)
    np.testing.assert_array_equal(index_QK, [[0, 1, 2]])
    np.testing.assert_array_equal(similarity_QK, [[0, 0, 0]])


def test_a_memory_mapped_reference_is_read_and_left_as_it_is(tmp_path):
    reference_RD = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.save(tmp_path / "reference.npy", reference_RD)
    mapped = np.load(tmp_path / "reference.npy", mmap_mode="r")
    index_QK, _ = nearest(reference_RD[3:6], mapped, 1, device=CPU, rows_per_chunk=8)
    np.testing.assert_array_equal(index_QK[:, 0], [3, 4, 5])
    np.testing.assert_array_equal(np.load(tmp_path / "reference.npy"), reference_RD)


def test_rows_without_a_key_are_excluded_from_nothing():
    vector_ND, none = np.eye(3), np.full(3, -1)
    keys = {"query_keys": [none], "reference_keys": [none]}
    index_QK, _ = nearest(vector_ND, vector_ND, 1, device=CPU, rows_per_chunk=3, **keys)
    np.testing.assert_array_equal(index_QK[:, 0], [0, 1, 2])


def test_the_error_says_how_many_rows_are_left_and_what_to_do():
    keys = {"query_keys": [np.array([0, 1, -1])], "reference_keys": [np.array([1, 1, 1, 0])]}
    message = r"3 neighbours .* 1 of 3 queries .*query row 1: 1\)\. Set extrapolation.num_neighbours lower"
    with pytest.raises(ValueError, match=message):
        nearest(np.eye(3), np.ones((4, 3)), 3, device=CPU, rows_per_chunk=2, **keys)
    with pytest.raises(ValueError, match="the reference has 4 rows, 5 neighbours"):
        nearest(np.eye(3), np.ones((4, 3)), 5, device=CPU, rows_per_chunk=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "at least 1"),
        ({"rows_per_chunk": 0}, "at least 1"),
        ({"query_QD": np.ones((2, 4))}, "same width"),
        ({"query_QD": np.array([[1, np.nan, 0]])}, "query embeddings hold values that aren't finite"),
        ({"reference_RD": np.full((5, 3), np.inf)}, "reference embeddings hold values"),
        ({"query_keys": [np.zeros(2, dtype=int)]}, "reference keys have shapes"),
        ({"query_keys": [np.zeros(3)], "reference_keys": [np.zeros(5)]}, "query keys have shapes"),
    ],
)
def test_input_that_does_not_fit_is_refused(change, message):
    arguments = {"query_QD": np.ones((2, 3)), "reference_RD": np.ones((5, 3)), "k": 2, "rows_per_chunk": 2} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        nearest(**arguments, device=CPU)


def test_no_query_has_no_neighbours():
    index_QK, similarity_QK = nearest(np.empty((0, 3)), np.ones((5, 3)), 2, device=CPU, rows_per_chunk=2)
    assert index_QK.shape == similarity_QK.shape == (0, 2)


def test_equal_text_keys_have_equal_numbers_and_missing_ones_minus_one():
    query = pd.Series(["p1", None, "p2", "p1"], index=[7, 8, 9, 10])
    reference = pd.Series([np.nan, "p2", "p3", "p1", "p3"])
    query_Q, reference_R = shared_keys(query, reference)
    np.testing.assert_array_equal(query_Q == -1, [False, True, False, False])
    np.testing.assert_array_equal(reference_R == -1, [True, False, False, False, False])
    assert query_Q[0] == query_Q[3] == reference_R[3] and query_Q[2] == reference_R[1] != query_Q[0]
    assert reference_R[2] == reference_R[4] and reference_R[2] not in query_Q
    assert query_Q.dtype == reference_R.dtype == np.int64


def test_keys_that_are_all_missing_on_one_side_match_nothing():
    query_Q, reference_R = shared_keys(pd.Series([None, None], dtype=object), pd.Series(["a", "b"]))
    np.testing.assert_array_equal(query_Q, [-1, -1])
    assert (reference_R >= 0).all()
