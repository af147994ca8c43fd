"""The level of lesions where there are three: a lesion's pictures, pooled, and lesion metadata."""

from slimp_pipeline.losses.objective import Contrast, ContrastiveHead, Dims, Objective, Representations
from slimp_pipeline.parameters import LossParams


class Middle(Objective):
    """Each lesion's pooled pictures meet the lesion's metadata, over K lesions: our choice, after the outer loss."""

    weights = {"lesion": 1.0}

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.lesion = ContrastiveHead(dims.look, dims.metadata, dims.projection, settings)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`lesion`: pooled pictures (left) and lesion metadata (right)."""
        return {"lesion": self.lesion(batch.look_KX, batch.lesion_KM, batch.lesion_groups_K)}
