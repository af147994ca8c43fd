"""k nearest neighbours on frozen features, by cosine similarity."""

import numpy as np

_QUERIES_PER_CHUNK = 256  # similarities to all training rows are held for so many


def knn_scores(
    feature_ND: np.ndarray,
    label_N: np.ndarray,
    train_N: np.ndarray,
    test_N: np.ndarray,
    num_classes: int,
    num_neighbours: int,
    *,
    prior_weighted: bool,
) -> np.ndarray:
    """Share of votes per class among the nearest training rows.

    Args:
        feature_ND: Features, scaled by training rows.
        label_N: Class numbers.
        train_N: Which rows vote.
        test_N: Which rows are scored.
        num_classes: K.
        num_neighbours: Voters per row; all training rows where they are fewer.
        prior_weighted: A vote counts as one over its class's share of the training rows. Plain majority
            collapses to the commonest class in imbalanced cohorts.

    Returns:
        float (num_test, K), rows sum to 1.
    """
    unit_ND = feature_ND / np.maximum(np.linalg.norm(feature_ND, axis=1, keepdims=True), 1e-12)
    labels, keys_ND, queries_ND = label_N[train_N], unit_ND[train_N], unit_ND[test_N]
    chunks = np.split(queries_ND, range(_QUERIES_PER_CHUNK, len(queries_ND), _QUERIES_PER_CHUNK))
    ordered = (np.argsort(-(chunk_QD @ keys_ND.T), axis=1, kind="stable") for chunk_QD in chunks)
    nearest = np.concatenate([order_QN[:, :num_neighbours] for order_QN in ordered])
    votes = np.eye(num_classes)[labels[nearest]].sum(axis=1)
    if prior_weighted:
        votes = votes / np.maximum(np.bincount(labels, minlength=num_classes), 1)
    return votes / votes.sum(axis=1, keepdims=True)
