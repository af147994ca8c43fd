"""Flat contrast: lesion image and all metadata at one level."""

import torch

from slimp_pipeline.losses.objective import Contrast, ContrastiveHead, Dims, Objective, Representations
from slimp_pipeline.parameters import LossParams


class Flat(Objective):
    """Each lesion's image meets the metadata of lesion and patient, concatenated, over all B lesions.

    What CLIP would do with one row of metadata per image: the ablation that nesting is measured against.

    Source:
        Radford et al. 2021, arXiv:2103.00020, with the metadata encoders of SLIMP.
    """

    weights = {"flat": 1.0}

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.flat = ContrastiveHead(dims.image, 2 * dims.metadata, dims.projection, settings)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`flat`: image (left) and all metadata (right); rows are of one group where both levels coincide."""
        patient_B = batch.patient_of_lesion_B
        metadata_BM2 = torch.cat([batch.lesion_BM, batch.patient_PM[patient_B]], dim=1)
        num_patient_groups = batch.patient_groups_P.max() + 1
        groups_B = batch.lesion_groups_B * num_patient_groups + batch.patient_groups_P[patient_B]
        return {"flat": self.flat(batch.image_VBI[0], metadata_BM2, groups_B)}
