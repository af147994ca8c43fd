"""Symmetric InfoNCE, with one or several positives per anchor."""

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.losses.tiles import pair_logsumexp, rows_per_tile


def info_nce(image_BD: Tensor, metadata_BD: Tensor, *, temperature: Tensor, groups_B: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE between two views of the same rows (lesion and its metadata, say).

    Row i of both inputs is a positive pair. Without groups the other B - 1 rows are negatives: the
    paper's plain form. With groups, rows of the anchor's group are positives too, with equal weight:
    metadata that coincide can't tell their rows apart. Batches of more rows than a tile are computed tile by
    tile, in memory linear in B and with the same result but for rounding.

    Args:
        image_BD: Projections, float, shape (B, D), B >= 2; normalised here.
        metadata_BD: Projections of the other view, same shape and device.
        temperature: Softmax temperature, shape (), > 0.
        groups_B: int64, shape (B,); rows of equal number are positives of each other. None: each its own.

    Returns:
        Mean loss in nats, shape (), float32 also under autocast; log(B) when all rows coincide.

    Raises:
        ValueError: If shapes differ, B < 2 or temperature <= 0.

    Source:
        Oord et al. 2018, arXiv:1807.03748; several positives as in Khosla et al. 2020, arXiv:2004.11362
        (L_out); nested use: SLIMP, arXiv:2505.23709.
    """
    if image_BD.shape != metadata_BD.shape or image_BD.ndim != 2:
        raise ValueError(
            f"two (B, D) inputs of one shape are needed, got {tuple(image_BD.shape)} and {tuple(metadata_BD.shape)}"
        )
    if len(image_BD) < 2:
        raise ValueError("InfoNCE needs at least two rows: with one there is no negative")
    if temperature.device.type == "cpu" and (value := float(temperature.detach())) <= 0:  # a GPU would have to wait
        raise ValueError(f"temperature must be positive, got {value}")
    with torch.autocast(image_BD.device.type, enabled=False):
        image_BD = F.normalize(image_BD.float(), dim=1)
        metadata_BD = F.normalize(metadata_BD.float(), dim=1)
        compute = _plain if len(image_BD) <= rows_per_tile(image_BD.device) else _tiled
        return compute(image_BD, metadata_BD, temperature.float(), groups_B)


def _plain(image_BD: Tensor, metadata_BD: Tensor, temperature: Tensor, groups_B: Tensor | None) -> Tensor:
    """The loss of normalised rows, from all logits at once."""
    logits_BB = image_BD @ metadata_BD.T / temperature
    if groups_B is None:
        target = torch.arange(len(logits_BB), device=logits_BB.device)
        return (F.cross_entropy(logits_BB, target) + F.cross_entropy(logits_BB.T, target)) / 2
    same_BB = (groups_B.unsqueeze(0) == groups_B.unsqueeze(1)).float()
    target_BB = same_BB / same_BB.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits_BB, target_BB) + F.cross_entropy(logits_BB.T, target_BB)) / 2


def _tiled(image_BD: Tensor, metadata_BD: Tensor, temperature: Tensor, groups_B: Tensor | None) -> Tensor:
    """The loss of normalised rows: log-sum-exps over all pairs, less the mean logit of right pairs."""
    image_BD = image_BD / temperature
    row_B, column_B = pair_logsumexp(image_BD, metadata_BD)
    if groups_B is None:
        positive = (image_BD * metadata_BD).sum(dim=1).mean()
    else:
        positive = _mean_logit_within_groups(image_BD, metadata_BD, groups_B)
    return (row_B.mean() + column_B.mean()) / 2 - positive


def _mean_logit_within_groups(image_BD: Tensor, metadata_BD: Tensor, groups_B: Tensor) -> Tensor:
    """Mean over the rows of their mean product with the other side's rows of their group; alike in both directions.

    A group's products add up to the product of its two sums, so that no pair is looked at.
    """
    # Numbers below B without asking the device how many groups there are: the first place of each in order.
    group_B = torch.searchsorted(groups_B.sort().values, groups_B)
    # Sums of a large group lose digits in float32.
    exact = torch.float32 if image_BD.device.type == "mps" else torch.float64
    image_GD, metadata_GD = (
        torch.zeros_like(side_BD, dtype=exact).index_add(0, group_B, side_BD.to(exact))
        for side_BD in (image_BD, metadata_BD)
    )
    count_G = torch.zeros_like(group_B).index_add(0, group_B, torch.ones_like(group_B))
    product_G = (image_GD * metadata_GD).sum(dim=1) / count_G.clamp(min=1)
    return (product_G.sum() / len(image_BD)).to(image_BD.dtype)
