"""k nearest neighbours on frozen features, by cosine similarity."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from slimp_pipeline.evaluation.protocols.thinning import thin

_MAX_SIMILARITIES = 2**23  # held at once


@dataclass(frozen=True)
class Votes:
    """Votes of the nearest training rows.

    Attributes:
        vote_NK: How many training rows of each class vote; one that stands for others of its class counts for them too.
        size_K: Training rows of each class.
    """

    vote_NK: np.ndarray
    size_K: np.ndarray

    def shares(self) -> np.ndarray:
        """Share of votes per class, (N, K); rows sum to 1."""
        return self.vote_NK / self.vote_NK.sum(axis=1, keepdims=True)

    def prior_weighted_shares(self) -> np.ndarray:
        """The same where a vote counts as one over its class's share of the training rows.

        Plain majority collapses to the commonest class in imbalanced cohorts.
        """
        return Votes(self.vote_NK / np.maximum(self.size_K, 1), self.size_K).shares()


def knn_votes(
    feature_ND: np.ndarray,
    label_N: np.ndarray,
    train_N: np.ndarray,
    test_N: np.ndarray,
    num_classes: int,
    num_neighbours: int,
    max_voters: int | None = None,
    seed: int = 0,
    device: torch.device | None = None,
) -> Votes:
    """Let the nearest training rows vote on each test row.

    Args:
        feature_ND: Features, scaled by training rows.
        label_N: Class numbers.
        train_N: Which rows vote.
        test_N: Which rows are scored.
        num_classes: K.
        num_neighbours: Voters per row; all training rows where they are fewer.
        max_voters: Where training rows are more, so many vote, and stand for the others, as `thin` draws them.
        seed: Of that draw.
        device: Where it is computed, in float32; None: the CPU.
    """
    size_K = np.bincount(label_N[train_N], minlength=num_classes)
    voters = thin(label_N[train_N], num_classes, max_voters, seed)
    rows = np.flatnonzero(train_N)[voters.rows]
    keys_ND, queries_ND = (_unit(feature_ND[chosen], device) for chosen in (rows, test_N))
    votes_KV = torch.from_numpy(np.diag(voters.stands_for_K)[label_N[rows]]).to(keys_ND.device)
    num_voters = min(num_neighbours, len(rows))
    parts = [
        votes_KV[(queries_QD @ keys_ND.T).topk(num_voters, dim=1).indices].sum(dim=1)
        for queries_QD in queries_ND.split(max(1, _MAX_SIMILARITIES // len(rows)))
    ]
    return Votes(torch.cat(parts).cpu().numpy(), size_K)


def _unit(feature_ND: np.ndarray, device: torch.device | None) -> torch.Tensor:
    return F.normalize(torch.from_numpy(feature_ND.astype(np.float32)).to(device), dim=1)
