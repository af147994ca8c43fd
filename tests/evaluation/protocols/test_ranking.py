"""Retrieval by cosine."""

from itertools import permutations
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from slimp_pipeline.evaluation.protocols import ranking
from slimp_pipeline.evaluation.protocols.ranking import (
    chance_recall_at_k,
    chance_same_class,
    recall_at_k,
    retrieve_same_class,
)


def at_angles(*degrees):
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def cosine(a, b):
    return (a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))


def test_precision_and_average_precision_by_hand():
    # From 0 degrees the keys come in the order of their angles: classes 1, 0, 0, 1, 0.
    keys, key_label_K = 3 * at_angles(10, -20, 30, -40, 50), np.array([1, 0, 0, 1, 0])
    queries = at_angles(0, 0, 0)
    found = retrieve_same_class(queries, keys, np.array([0, 1, 2]), key_label_K, [1, 2, 4, 99])
    np.testing.assert_allclose(found["precision_at_1"], [0, 1, 0])
    np.testing.assert_allclose(found["precision_at_2"], [1 / 2, 1 / 2, 0])
    np.testing.assert_allclose(found["precision_at_4"], [2 / 4, 2 / 4, 0])
    np.testing.assert_allclose(found["precision_at_99"], [3 / 5, 2 / 5, 0])
    expected = [(1 / 2 + 2 / 3 + 3 / 5) / 3, (1 + 2 / 4) / 2, np.nan]
    np.testing.assert_allclose(found["average_precision"], expected)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 30))
def test_ranking_equals_a_slow_loop_and_scikit_learn_however_it_is_cut(seed, chunk, k):
    rng = np.random.default_rng(seed)
    queries, keys = rng.normal(size=(7, 4)), rng.normal(size=(20, 4))
    query_label_Q, key_label_K = rng.integers(0, 3, 7), rng.integers(0, 2, 20)
    with mock.patch.object(ranking, "_MAX_COSINES", 20 * chunk):
        found = retrieve_same_class(queries, keys, query_label_Q, key_label_K, [k])
    for i in range(7):
        order = sorted(range(20), key=lambda j: -cosine(queries[i], keys[j]))
        relevant = key_label_K == query_label_Q[i]
        assert found[f"precision_at_{k}"][i] == pytest.approx(relevant[order[:k]].mean())
        if relevant.any():
            scores = [cosine(queries[i], key) for key in keys]
            assert found["average_precision"][i] == pytest.approx(average_precision_score(relevant, scores))
        else:
            assert np.isnan(found["average_precision"][i])


def test_the_length_of_an_embedding_is_of_no_account_and_zeros_are_near_to_nothing():
    keys, labels = at_angles(5, 60), np.array([0, 1])
    lengths = np.array([[1e-3], [1e3]])
    plain = retrieve_same_class(at_angles(0), keys, labels[:1], labels, [1])
    scaled = retrieve_same_class(7 * at_angles(0), lengths * keys, labels[:1], labels, [1])
    assert plain == scaled and plain["precision_at_1"] == 1
    collapsed = retrieve_same_class(at_angles(0), np.zeros((2, 2)), labels[:1], labels, [1])
    assert collapsed["precision_at_1"] == 0


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_equally_near_keys_the_wrong_ones_come_first(order):
    keys, labels = at_angles(0, 0, 0)[list(order)], np.array([0, 1, 1])[list(order)]
    found = retrieve_same_class(at_angles(20), keys, np.array([0]), labels, [1, 3])
    np.testing.assert_allclose([found["precision_at_1"], found["precision_at_3"]], [[0], [1 / 3]])
    np.testing.assert_allclose(found["average_precision"], 1 / 3)


@pytest.mark.parametrize("num_relevant", [1, 2, 5, 9])
def test_chance_equals_the_mean_over_random_orders(num_relevant):
    key_label_K = (np.arange(9) < num_relevant).astype(int)
    chance = chance_same_class(np.array([1, 7]), key_label_K, [2, 50])
    rng = np.random.default_rng(0)
    relevant_RK = rng.permuted(np.tile(key_label_K, (20000, 1)), axis=1)
    precision_RK = relevant_RK.cumsum(axis=1) / np.arange(1, 10)
    average_R = (precision_RK * relevant_RK).sum(axis=1) / num_relevant
    assert chance["average_precision"][0] == pytest.approx(average_R.mean(), abs=0.01)
    assert chance["precision_at_2"][0] == pytest.approx(precision_RK[:, 1].mean(), abs=0.012)
    assert chance["precision_at_50"][0] == pytest.approx(num_relevant / 9)
    assert np.isnan(chance["average_precision"][1]) and chance["precision_at_2"][1] == 0


@pytest.mark.parametrize("num_relevant", [1, 2, 3, 4, 5])
def test_chance_is_exact_over_all_orders_of_five_keys(num_relevant):
    key_label_K = (np.arange(5) < num_relevant).astype(int)
    orders = np.array(list(permutations(key_label_K)))
    average = ((orders.cumsum(axis=1) / np.arange(1, 6)) * orders).sum(axis=1) / num_relevant
    chance = chance_same_class(np.array([1]), key_label_K, [1])
    np.testing.assert_allclose(chance["average_precision"], average.mean(), rtol=1e-12)


def test_a_single_key_is_found_for_certain_where_it_is_relevant():
    chance = chance_same_class(np.array([3, 4]), np.array([3]), [5])
    np.testing.assert_array_equal(chance["average_precision"], [1, np.nan])
    np.testing.assert_array_equal(chance["precision_at_5"], [1, 0])


def test_recall_by_hand():
    # Distances in degrees, query to keys 0..3: q0: 0 30 60 90; q1: 40 10 20 50; q2: 30 0 30 60; q3: 100 70 40 10.
    queries, keys = at_angles(0, 40, 30, 100), at_angles(0, 30, 60, 90)
    found = recall_at_k(queries, keys, np.arange(4), [1, 2, 3])
    np.testing.assert_array_equal(found["recall_at_1"], [1, 1, 0, 1])
    # Keys 0 and 2 are as near to query 2 as each other: the wrong one comes first, its own third.
    np.testing.assert_array_equal(found["recall_at_2"], [1, 1, 0, 1])
    np.testing.assert_array_equal(found["recall_at_3"], [1, 1, 1, 1])
    # With keys 1 and 2 of one group, key 1 answers for query 2.
    grouped = recall_at_k(queries, keys, np.array([5, 8, 8, 6]), [1])
    np.testing.assert_array_equal(grouped["recall_at_1"], [1, 1, 1, 1])


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 14))
def test_recall_equals_a_slow_loop_with_ties(seed, num_rows, k):
    rng = np.random.default_rng(seed)
    queries, keys = at_angles(*rng.integers(0, 8, num_rows) * 20.0), at_angles(*rng.integers(0, 8, num_rows) * 20.0)
    group_B = rng.integers(0, 4, num_rows)
    found = recall_at_k(queries, keys, group_B, [k])[f"recall_at_{k}"]
    for i in range(num_rows):
        ranked = sorted((-round(cosine(queries[i], keys[j]), 6), group_B[j] == group_B[i]) for j in range(num_rows))
        assert found[i] == any(own for _, own in ranked[:k])


def test_recall_over_many_rows_does_not_depend_on_where_they_are_cut():
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(300, 3))
    keys = queries + rng.normal(0, 0.05, (300, 3))
    found = recall_at_k(queries, keys, np.arange(300), [1])["recall_at_1"]
    order = rng.permutation(300)
    np.testing.assert_array_equal(
        recall_at_k(queries[order], keys[order], np.arange(300), [1])["recall_at_1"], found[order]
    )
    assert 0 < found.mean() < 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_embeddings_collapsed_into_one_point_find_nothing(dtype):
    point = np.random.default_rng(0).normal(size=(1, 77)).astype(dtype)
    point_BD = np.repeat(point, 65, axis=0)
    found = recall_at_k(point_BD, point_BD, np.arange(65), [1, 64, 65])
    assert not found["recall_at_1"].any() and not found["recall_at_64"].any() and found["recall_at_65"].all()


def test_rows_of_one_group_always_find_a_partner():
    rng = np.random.default_rng(0)
    found = recall_at_k(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), np.zeros(5, dtype=int), [1])
    np.testing.assert_array_equal(found["recall_at_1"], 1)


def test_chance_recall_by_hand():
    # Of 5 keys: a group of 2 is missed by 2 draws in 3/5 * 2/4, a group of 1 in 4/5 * 3/4.
    chance = chance_recall_at_k(np.array([7, 7, 1, 2, 3]), [1, 2, 4, 9])
    np.testing.assert_allclose(chance["recall_at_1"], [2 / 5, 2 / 5, 1 / 5, 1 / 5, 1 / 5])
    np.testing.assert_allclose(chance["recall_at_2"], [0.7, 0.7, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(chance["recall_at_4"], [1, 1, 0.8, 0.8, 0.8])
    np.testing.assert_allclose(chance["recall_at_9"], 1)


def test_random_embeddings_come_out_at_chance():
    rng = np.random.default_rng(0)
    group_B, ks = np.repeat(np.arange(6), [1, 1, 2, 3, 5, 8]), [1, 3]
    values = {"recall_at_1": [], "recall_at_3": []}
    for _ in range(300):
        for name, value_B in recall_at_k(rng.normal(size=(20, 5)), rng.normal(size=(20, 5)), group_B, ks).items():
            values[name].append(value_B)
    for name, chance_B in chance_recall_at_k(group_B, ks).items():
        np.testing.assert_allclose(np.mean(values[name], axis=0), chance_B, atol=0.12)
        assert np.mean(values[name]) == pytest.approx(chance_B.mean(), abs=0.02)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(1, 40))
def test_chance_recall_is_a_probability_that_grows_with_k(groups, k):
    chance = chance_recall_at_k(np.array(groups), [k, k + 1])
    small, large = chance[f"recall_at_{k}"], chance[f"recall_at_{k + 1}"]
    assert (small > 0).all() and (small <= large + 1e-9).all() and (large <= 1).all()


def test_degenerate_input_is_refused():
    two, labels = at_angles(0, 10), np.array([0, 1])
    with pytest.raises(ValueError, match="at least 1"):
        retrieve_same_class(two, two, labels, labels, [0])
    with pytest.raises(ValueError, match="at least one"):
        chance_recall_at_k(labels, [])
    with pytest.raises(ValueError, match="NaN"):
        retrieve_same_class(two, two * np.nan, labels, labels, [1])
    with pytest.raises(ValueError, match="0 sample"):
        retrieve_same_class(two, two[:0], labels, labels[:0], [1])
    with pytest.raises(ValueError, match="no keys"):
        chance_same_class(labels, labels[:0], [1])
    with pytest.raises(ValueError, match="1 rows"):
        recall_at_k(two[:1], two[:1], labels[:1], [1])
    with pytest.raises(ValueError, match="1 rows"):
        chance_recall_at_k(labels[:1], [1])
    with pytest.raises(ValueError, match="2 queries, 1 keys"):
        recall_at_k(two, two[:1], labels, [1])


def test_only_the_queries_that_are_asked_are_answered():
    rng = np.random.default_rng(0)
    queries, keys, group_B = rng.normal(size=(9, 3)), rng.normal(size=(9, 3)), np.arange(9) % 7
    every, asked = recall_at_k(queries, keys, group_B, [1, 3]), np.array([2, 5, 8])
    some = recall_at_k(queries, keys, group_B, [1, 3], asked)
    for name, value in every.items():
        np.testing.assert_array_equal(some[name], value[asked])
