"""A batch of patients, and the part of it that one of several processes encodes."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from slimp_pipeline.losses.objective import Representations
from slimp_pipeline.models.ranks import Ranks
from slimp_pipeline.models.tabular import TensorFields


@dataclass(frozen=True)
class Share:
    """Which lesions and patients of a batch a process encodes; a patient's lesions are never parted.

    Attributes:
        ranks: The processes.
        lesions: Its lesions, in the order of the batch.
        patients_p: int64, positions of its patients among the batch's, ascending.
    """

    ranks: Ranks
    lesions: slice
    patients_p: Tensor


@dataclass(frozen=True)
class Batch:
    """Lesions of a batch: B lesions of P patients, V views each.

    Attributes:
        views: Normalised views (V * B, 3, H, H), view by view; with a share, of its lesions alone.
        lesion: Encoded lesion fields, B rows.
        patient: Encoded patient fields, P rows.
        patient_of_lesion_B: int64, row of each lesion's patient.
        lesion_groups_B: int64; lesions with the same number have the same metadata.
        patient_groups_P: int64; likewise for patients.
        share: What of it this process encodes; None: all.
        nuisance: Encoded fields that an embedding should not carry, B rows; empty where none is asked about.
    """

    views: Tensor
    lesion: TensorFields
    patient: TensorFields
    patient_of_lesion_B: Tensor
    lesion_groups_B: Tensor
    patient_groups_P: Tensor
    share: Share | None = None
    nuisance: TensorFields = field(default_factory=dict)

    def own_part(self) -> "Batch":
        """What this process encodes, as a batch of its own."""
        if self.share is None:
            return self
        lesions, patients_p = self.share.lesions, self.share.patients_p
        return Batch(
            self.views,
            {name: values[lesions] for name, values in self.lesion.items()},
            {name: values[patients_p] for name, values in self.patient.items()},
            torch.searchsorted(patients_p, self.patient_of_lesion_B[lesions]),
            self.lesion_groups_B[lesions],
            self.patient_groups_P[patients_p],
        )

    def gathered(self, own: Representations) -> Representations:
        """Representations of the whole batch from those of `own_part`, put together over all processes."""
        if self.share is None:
            return own
        share, num_lesions, num_patients = self.share, len(self.patient_of_lesion_B), len(self.patient_groups_P)
        gather = share.ranks.gather
        return replace(
            own,
            image_VBI=gather(own.image_VBI.transpose(0, 1), share.lesions, num_lesions).transpose(0, 1),
            lesion_BM=gather(own.lesion_BM, share.lesions, num_lesions),
            patient_PM=gather(own.patient_PM, share.patients_p, num_patients),
            phenotype_PX=gather(own.phenotype_PX, share.patients_p, num_patients),
            patient_of_lesion_B=self.patient_of_lesion_B,
            lesion_groups_B=self.lesion_groups_B,
            patient_groups_P=self.patient_groups_P,
        )
