"""The nested loss of SLIMP: lesions inside patients."""

from dataclasses import dataclass

from torch import Tensor

from slimp_pipeline.losses.info_nce import info_nce
from slimp_pipeline.models.slimp import NestedProjections
from slimp_pipeline.parameters import LossParams


@dataclass(frozen=True)
class NestedLoss:
    """Losses in nats, each shape ()."""

    total: Tensor
    lesion: Tensor
    patient: Tensor


def nested_loss(
    projections: NestedProjections, lesion_groups_B: Tensor, patient_groups_P: Tensor, settings: LossParams
) -> NestedLoss:
    """L = lambda * L_lesion + (1 - lambda) * L_patient, lambda = `settings.lesion_weight`.

    Args:
        projections: What the model returns for a batch.
        lesion_groups_B: int64; lesions with the same number have the same metadata.
        patient_groups_P: int64; likewise for patients.
        settings: Weight, and whether equal metadata count as positives.

    Source:
        SLIMP, arXiv:2505.23709, nested objective.
    """
    lesion = info_nce(
        projections.image_BD,
        projections.lesion_metadata_BD,
        temperature=projections.lesion_temperature,
        groups_B=lesion_groups_B if settings.multi_positive else None,
    )
    patient = info_nce(
        projections.phenotype_PD,
        projections.patient_metadata_PD,
        temperature=projections.patient_temperature,
        groups_B=patient_groups_P if settings.multi_positive else None,
    )
    total = settings.lesion_weight * lesion + (1 - settings.lesion_weight) * patient
    return NestedLoss(total, lesion, patient)
