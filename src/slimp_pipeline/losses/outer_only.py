"""The outer level of SLIMP alone: phenotype and patient metadata."""

from slimp_pipeline.losses.objective import Contrast, ContrastiveHead, Dims, Objective, Representations
from slimp_pipeline.parameters import LossParams


class OuterOnly(Objective):
    """Each patient's phenotype meets the patient's metadata, over P patients.

    Source:
        SLIMP, arXiv:2505.23709, outer loss.
    """

    weights = {"patient": 1.0}

    def __init__(self, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.patient = ContrastiveHead(dims.phenotype, dims.metadata, dims.projection, settings)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`patient`: phenotype (left) and patient metadata (right)."""
        return {"patient": self.patient(batch.phenotype_PX, batch.patient_PM, batch.patient_groups_P)}
