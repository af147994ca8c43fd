"""Symmetric InfoNCE, with one or several positives per anchor."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(image_BD: Tensor, metadata_BD: Tensor, *, temperature: Tensor, groups_B: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE between two views of the same rows (lesion and its metadata, say).

    Row i of both inputs is a positive pair. Without groups the other B - 1 rows are negatives: the
    paper's plain form. With groups, rows of the anchor's group are positives too, with equal weight:
    metadata that coincide can't tell their rows apart.

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
        logits_BB = image_BD @ metadata_BD.T / temperature.float()
        if groups_B is None:
            target = torch.arange(len(logits_BB), device=logits_BB.device)
            return (F.cross_entropy(logits_BB, target) + F.cross_entropy(logits_BB.T, target)) / 2
        same_BB = (groups_B.unsqueeze(0) == groups_B.unsqueeze(1)).float()
        target_BB = same_BB / same_BB.sum(dim=1, keepdim=True)
        return (F.cross_entropy(logits_BB, target_BB) + F.cross_entropy(logits_BB.T, target_BB)) / 2
