"""Flat contrast: image and all metadata at one level."""

import torch

from slimp_pipeline.losses.objective import Contrast, ContrastiveHead, Dims, Objective, Representations
from slimp_pipeline.parameters import LossParams


class Flat(Objective):
    """Each image meets the metadata of its lesion and patient, concatenated, over all B images.

    With three levels its own come before them.

    What CLIP would do with one row of metadata per image: the ablation that nesting is measured against.

    Source:
        Radford et al. 2021, arXiv:2103.00020, with the metadata encoders of SLIMP.
    """

    weights = {"flat": 1.0}

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.flat = ContrastiveHead(dims.image, (3 if dims.pictures else 2) * dims.metadata, dims.projection, settings)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`flat`: image (left) and all metadata (right); rows are of one group where all levels coincide."""
        metadata_KM = torch.cat([batch.lesion_KM, batch.patient_PM[batch.patient_of_lesion_K]], dim=1)
        patient_groups_K = batch.patient_groups_P[batch.patient_of_lesion_K]
        groups_K = batch.lesion_groups_K * (batch.patient_groups_P.max() + 1) + patient_groups_K
        if batch.pictures is None:
            return {"flat": self.flat(batch.image_VBI[0], metadata_KM, groups_K)}
        pictures, lesion_B = batch.pictures, batch.pictures.lesion_of_image_B
        metadata_BM = torch.cat([pictures.fields_BM, metadata_KM[lesion_B]], dim=1)
        groups_B = pictures.groups_B * (groups_K.max() + 1) + groups_K[lesion_B]
        return {"flat": self.flat(batch.image_VBI[0], metadata_BM, groups_B)}
