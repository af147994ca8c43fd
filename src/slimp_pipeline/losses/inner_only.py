"""The innermost level of SLIMP alone: image and metadata of a lesion; with three levels, of a picture."""

from slimp_pipeline.losses.objective import Contrast, ContrastiveHead, Dims, Objective, Representations
from slimp_pipeline.parameters import LossParams


class InnerOnly(Objective):
    """Each image meets the metadata of its level, over all B images: with two levels its lesion's, with three its own.

    Source:
        SLIMP, arXiv:2505.23709, inner loss; the level of images is our choice.
    """

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self._level = "image" if dims.pictures else "lesion"
        self.weights = {self._level: 1.0}
        self.add_module(self._level, ContrastiveHead(dims.image, dims.metadata, dims.projection, settings))

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`lesion` or, with three levels, `image`: image (left) and metadata (right)."""
        pictures = batch.pictures
        metadata_BM, groups_B = (
            (pictures.fields_BM, pictures.groups_B) if pictures else (batch.lesion_KM, batch.lesion_groups_K)
        )
        return {self._level: self.get_submodule(self._level)(batch.image_VBI[0], metadata_BM, groups_B)}
