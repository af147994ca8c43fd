"""SimCLR: two views of the same image, no metadata."""

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.losses.objective import Contrast, Dims, Objective, Representations, Temperature, projection
from slimp_pipeline.parameters import LossParams


class SimCLR(Objective):
    """Two augmented views of each lesion's image meet; metadata play no part.

    Source:
        Chen et al. 2020, arXiv:2002.05709.
    """

    num_views = 2
    weights = {"views": 1.0}

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.projection = projection(dims.image, dims.projection)
        self.temperature = Temperature(settings)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`views`: first view (left) and last (right; the same one where a batch has one view)."""
        left, right = self.projection(batch.image_VBI[0]), self.projection(batch.image_VBI[-1])
        return {"views": Contrast(left, right, torch.arange(len(left), device=left.device), self.temperature())}

    def term(self, contrast: Contrast) -> Tensor:
        """NT-Xent of the two views."""
        return nt_xent(contrast.left_ND, contrast.right_ND, temperature=contrast.temperature)


def nt_xent(left_BD: Tensor, right_BD: Tensor, *, temperature: Tensor) -> Tensor:
    """Normalised temperature-scaled cross entropy of two views.

    The positive of a row is its other view; all other rows of both views, 2B - 2, are negatives.

    Args:
        left_BD: Projections of one view, float, shape (B, D), B >= 2; normalised here.
        right_BD: Projections of the other view.
        temperature: Softmax temperature, shape (), > 0.

    Returns:
        Mean loss in nats, shape (), float32 also under autocast; log(2B - 1) when all rows coincide.

    Raises:
        ValueError: If shapes differ or B < 2.

    Source:
        Chen et al. 2020, arXiv:2002.05709, equation 1.
    """
    if left_BD.shape != right_BD.shape or left_BD.ndim != 2 or len(left_BD) < 2:
        raise ValueError(
            f"two (B, D) inputs of one shape, B >= 2, are needed: {tuple(left_BD.shape)}, {tuple(right_BD.shape)}"
        )
    with torch.autocast(left_BD.device.type, enabled=False):
        both = F.normalize(torch.cat([left_BD, right_BD]).float(), dim=1)
        logits = both @ both.T / temperature.float()
        logits.fill_diagonal_(float("-inf"))  # a row is no partner of itself
        partner = torch.arange(len(both), device=both.device).roll(len(left_BD))
        return F.cross_entropy(logits, partner)
