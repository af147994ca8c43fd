"""k nearest neighbours."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.evaluation.protocols import knn
from slimp_pipeline.evaluation.protocols.knn import knn_votes


def slow_scores(feature_ND, label_N, train_N, test_N, num_classes, k, prior_weighted):
    counts = [int(((label_N == c) & train_N).sum()) for c in range(num_classes)]
    rows = []
    for i in np.flatnonzero(test_N):
        near = []
        for j in np.flatnonzero(train_N):
            lengths = np.linalg.norm(feature_ND[i]) * np.linalg.norm(feature_ND[j])
            near.append((-(feature_ND[i] @ feature_ND[j]) / lengths, label_N[j]))
        votes = np.zeros(num_classes)
        for _, label in sorted(near, key=lambda pair: pair[0])[:k]:
            votes[label] += 1 / counts[label] if prior_weighted else 1
        rows.append(votes / votes.sum())
    return np.array(rows)


def votes_of(feature_ND, label_N, train_N, test_N, num_classes, k, **settings):
    return knn_votes(feature_ND[train_N], label_N[train_N], feature_ND[test_N], num_classes, k, **settings)


@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans(), st.sampled_from([1, 4, 256]))
def test_scores_equal_a_slow_loop_however_queries_are_chunked(seed, k, prior_weighted, chunk):
    rng = np.random.default_rng(seed)
    feature_ND, label_N = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    train_N = np.arange(20) < 14
    with mock.patch.object(knn, "_MAX_SIMILARITIES", chunk * 14):
        votes = votes_of(feature_ND, label_N, train_N, ~train_N, 3, k)
        fast = votes.prior_weighted_shares() if prior_weighted else votes.shares()
    np.testing.assert_allclose(fast, slow_scores(feature_ND, label_N, train_N, ~train_N, 3, k, prior_weighted))
    np.testing.assert_allclose(fast.sum(axis=1), 1)


def test_prior_weighted_votes_by_hand():
    # Training: four of class 0, one of class 1, all voting: plain 4/5 to 1/5, weighted 4/4 to 1/1.
    feature_ND = np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4], [1, 0.5]])
    label_N, train_N = np.array([0, 0, 0, 0, 1, 0]), np.arange(6) < 5
    votes = votes_of(feature_ND, label_N, train_N, ~train_N, 2, 5)
    np.testing.assert_allclose(votes.shares(), [[0.8, 0.2]])
    np.testing.assert_allclose(votes.prior_weighted_shares(), [[0.5, 0.5]])


def test_all_training_rows_vote_where_they_are_fewer_than_k():
    feature_ND, label_N = np.eye(4), np.array([0, 1, 1, 0])
    train_N = np.array([True, True, True, False])
    votes = votes_of(feature_ND, label_N, train_N, ~train_N, 3, 50)
    np.testing.assert_allclose(votes.shares(), [[1 / 3, 2 / 3, 0]])


def test_voters_drawn_from_many_rows_stand_for_all_of_their_class():
    # 90 rows of class 0 and 6 of class 1 at one place: of 12 voters 6 are of each class, and one of class 0 counts 15.
    feature_ND, label_N = np.ones((97, 2)), np.array([0] * 90 + [1] * 6 + [0])
    train_N = np.arange(97) < 96
    votes = votes_of(feature_ND, label_N, train_N, ~train_N, 2, 12, max_voters=12)
    np.testing.assert_allclose(votes.vote_NK, [[90, 6]])
    np.testing.assert_allclose(votes.shares(), [[90 / 96, 6 / 96]])
    np.testing.assert_allclose(votes.prior_weighted_shares(), [[0.5, 0.5]])
