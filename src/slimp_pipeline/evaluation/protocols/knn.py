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
    key_ND: np.ndarray,
    label_N: np.ndarray,
    query_QD: np.ndarray,
    num_classes: int,
    num_neighbours: int,
    max_voters: int | None = None,
    seed: int = 0,
    device: torch.device | None = None,
) -> Votes:
    """Let the nearest training rows vote on each test row.

    Args:
        key_ND: Features of the training rows, float (N, D), scaled by them.
        label_N: Their class numbers.
        query_QD: Features of the rows that are scored, float (Q, D).
        num_classes: K.
        num_neighbours: Voters per row; all training rows where they are fewer.
        max_voters: Where training rows are more, so many vote, and stand for the others, as `thin` draws them.
        seed: Of that draw.
        device: Where it is computed, in float32; None: the CPU.
    """
    size_K = np.bincount(label_N, minlength=num_classes)
    voters = thin(label_N, num_classes, max_voters, seed)
    keys_VD = _unit(key_ND[voters.rows], device)
    votes_VK = torch.from_numpy(np.diag(voters.stands_for_K)[label_N[voters.rows]]).to(keys_VD.device)
    num_voters = min(num_neighbours, len(keys_VD))
    # In place: results kept one by one would part the memory between them into pieces too small for the next.
    vote_QK = torch.empty(len(query_QD), num_classes, dtype=votes_VK.dtype, device=votes_VK.device)
    size = max(1, min(len(query_QD), _MAX_SIMILARITIES // len(keys_VD)))
    held_CV = keys_VD.new_empty(size, len(keys_VD))
    for start in range(0, len(query_QD), size):
        queries_CD = _unit(query_QD[start : start + size], device)
        similarity_CV = torch.mm(queries_CD, keys_VD.T, out=held_CV[: len(queries_CD)])
        nearest_CX = similarity_CV.topk(num_voters, dim=1, sorted=False).indices
        vote_QK[start : start + size] = votes_VK[nearest_CX].sum(dim=1)
    return Votes(vote_QK.cpu().numpy(), size_K)


def _unit(feature_ND: np.ndarray, device: torch.device | None) -> torch.Tensor:
    return F.normalize(torch.from_numpy(feature_ND.astype(np.float32)).to(device), dim=1)
