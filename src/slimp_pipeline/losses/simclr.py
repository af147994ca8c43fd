"""SimCLR: two views of the same image, no metadata."""

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.losses.objective import Contrast, Dims, Objective, Representations, Temperature, projection
from slimp_pipeline.losses.tiles import pair_logsumexp, rows_per_tile
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

    The positive of a row is its other view; all other rows of both views, 2B - 2, are negatives. More rows than a
    tile has are computed tile by tile, as in `info_nce`.

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
        compute = _plain if len(both) <= rows_per_tile(both.device) else _tiled
        return compute(both, temperature.float())


def _plain(both_ND: Tensor, temperature: Tensor) -> Tensor:
    """The loss of normalised rows, N = 2B, from all logits at once."""
    logits_NN = both_ND @ both_ND.T / temperature
    logits_NN.fill_diagonal_(float("-inf"))  # a row is no partner of itself
    partner_N = torch.arange(len(both_ND), device=both_ND.device).roll(len(both_ND) // 2)
    return F.cross_entropy(logits_NN, partner_N)


def _tiled(both_ND: Tensor, temperature: Tensor) -> Tensor:
    """The loss of normalised rows: log-sum-exps over all pairs, less the logit of the right one."""
    scaled_ND = both_ND / temperature
    row_N, _ = pair_logsumexp(scaled_ND, both_ND, skip_diagonal=True)
    return row_N.mean() - (scaled_ND * both_ND.roll(len(both_ND) // 2, 0)).sum(dim=1).mean()
