"""Embedding health: whether the representations spread out or collapse."""

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK_ROWS = 1024  # whose distances to all rows are held at once: of 40,000 rows 0.3 GB, where all would be 13


def effective_rank(embedding_BD: Tensor) -> float:
    """Effective rank of centred embeddings: exp of the entropy of the normalised singular values.

    1 when all rows lie on a line (a collapse), min(B - 1, D) when they spread evenly.

    Source:
        Roy and Vetterli 2007, "The effective rank"; as a health measure: RankMe, arXiv:2210.02885.
    """
    embedding_BD = embedding_BD.double()
    centred = embedding_BD - embedding_BD.mean(0)
    singular = torch.linalg.svdvals(centred)
    total = singular.sum()
    if total <= 1e-12 * max(1.0, float(embedding_BD.norm())):  # nothing but rounding is left
        return 1.0
    share = singular / total
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))


def uniformity(embedding_BD: Tensor) -> float:
    """log E exp(-2 |x - y|^2) over pairs of normalised rows: 0 when collapsed, towards -4 when spread.

    Source:
        Wang and Isola 2020, arXiv:2005.10242, equation 6 (t = 2).
    """
    unit_BD = F.normalize(embedding_BD.double(), dim=1)
    num_rows = len(unit_BD)
    total = torch.zeros((), dtype=torch.double, device=unit_BD.device)
    for start in range(0, num_rows, _BLOCK_ROWS):
        distances = torch.cdist(unit_BD[start : start + _BLOCK_ROWS], unit_BD[start:])
        total += distances.square_().mul_(-2).exp_().triu_(1).sum()  # each pair once
    return float(torch.log(total / (num_rows * (num_rows - 1) / 2)))


def alignment(image_BD: Tensor, metadata_BD: Tensor) -> float:
    """Mean squared distance between the normalised rows of a pair: 0 when they coincide, 2 at random.

    Source:
        Wang and Isola 2020, arXiv:2005.10242, equation 5 (alpha = 2).
    """
    image_BD, metadata_BD = F.normalize(image_BD.double(), dim=1), F.normalize(metadata_BD.double(), dim=1)
    return float((image_BD - metadata_BD).pow(2).sum(1).mean())


def retrieval_accuracy(query_BD: Tensor, key_BD: Tensor, groups_B: Tensor) -> float:
    """Share of queries whose nearest key (cosine) belongs to the query's group."""
    similarity_BB = F.normalize(query_BD.float(), dim=1) @ F.normalize(key_BD.float(), dim=1).T
    return float((groups_B[similarity_BB.argmax(dim=1)] == groups_B).float().mean())
