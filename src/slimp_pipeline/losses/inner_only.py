"""The inner level of SLIMP alone: lesion image and lesion metadata."""

from slimp_pipeline.losses.objective import Contrast, ContrastiveHead, Dims, Objective, Representations
from slimp_pipeline.parameters import LossParams


class InnerOnly(Objective):
    """Each lesion's image meets the lesion's metadata, over all B lesions.

    Source:
        SLIMP, arXiv:2505.23709, inner loss.
    """

    weights = {"lesion": 1.0}

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.lesion = ContrastiveHead(dims.image, dims.metadata, dims.projection, settings)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`lesion`: image (left) and lesion metadata (right)."""
        return {"lesion": self.lesion(batch.image_VBI[0], batch.lesion_BM, batch.lesion_groups_B)}
