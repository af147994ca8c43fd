"""A batch of patients, and the part of it that one of several processes encodes."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from slimp_pipeline.losses.objective import Pictures, Representations
from slimp_pipeline.models.ranks import Ranks
from slimp_pipeline.models.tabular import TensorFields


@dataclass(frozen=True)
class Share:
    """Which images, lesions and patients of a batch a process encodes; a patient's lesions are never parted.

    Attributes:
        ranks: The processes.
        images: Its images, in the order of the batch.
        lesions: Its lesions, in the order of the batch; with two levels they are the images.
        patients_p: int64, positions of its patients among the batch's, ascending.
    """

    ranks: Ranks
    images: slice
    lesions: slice
    patients_p: Tensor


@dataclass(frozen=True)
class PictureFields:
    """The image level of a batch that has three: B pictures of its K lesions.

    Attributes:
        fields: Encoded fields of pictures, B rows.
        groups_B: int64; pictures with the same number have the same metadata.
        lesion_of_image_B: int64, row of each picture's lesion, ascending.
    """

    fields: TensorFields
    groups_B: Tensor
    lesion_of_image_B: Tensor


@dataclass(frozen=True)
class Batch:
    """Images of a batch: B images, V views each, of K lesions of P patients; with two levels K = B.

    Attributes:
        views: Normalised views (V * B, 3, H, H), view by view; with a share, of its images alone.
        lesion: Encoded lesion fields, K rows.
        patient: Encoded patient fields, P rows.
        patient_of_lesion_K: int64, row of each lesion's patient.
        lesion_groups_K: int64; lesions with the same number have the same metadata.
        patient_groups_P: int64; likewise for patients.
        share: What of it this process encodes; None: all.
        nuisance: Encoded fields that an embedding should not carry, B rows; empty where none is asked about.
        pictures: The image level; None with two levels.
    """

    views: Tensor
    lesion: TensorFields
    patient: TensorFields
    patient_of_lesion_K: Tensor
    lesion_groups_K: Tensor
    patient_groups_P: Tensor
    share: Share | None = None
    nuisance: TensorFields = field(default_factory=dict)
    pictures: PictureFields | None = None

    def own_part(self) -> "Batch":
        """What this process encodes, as a batch of its own."""
        if self.share is None:
            return self
        images, lesions, patients_p = self.share.images, self.share.lesions, self.share.patients_p
        pictures = self.pictures and PictureFields(
            {name: values[images] for name, values in self.pictures.fields.items()},
            self.pictures.groups_B[images],
            self.pictures.lesion_of_image_B[images] - lesions.start,
        )
        return Batch(
            self.views,
            {name: values[lesions] for name, values in self.lesion.items()},
            {name: values[patients_p] for name, values in self.patient.items()},
            torch.searchsorted(patients_p, self.patient_of_lesion_K[lesions]),
            self.lesion_groups_K[lesions],
            self.patient_groups_P[patients_p],
            pictures=pictures,
        )

    def gathered(self, own: Representations) -> Representations:
        """Representations of the whole batch from those of `own_part`, put together over all processes."""
        if self.share is None:
            return own
        share, num_lesions, num_patients = self.share, len(self.patient_of_lesion_K), len(self.patient_groups_P)
        gather = share.ranks.gather
        num_images, pictures = num_lesions, None
        if self.pictures and own.pictures:
            num_images = len(self.pictures.groups_B)
            pictures = Pictures(
                gather(own.pictures.fields_BM, share.images, num_images),
                self.pictures.groups_B,
                self.pictures.lesion_of_image_B,
                gather(own.pictures.pooled_KX, share.lesions, num_lesions),
            )
        return replace(
            own,
            image_VBI=gather(own.image_VBI.transpose(0, 1), share.images, num_images).transpose(0, 1),
            lesion_KM=gather(own.lesion_KM, share.lesions, num_lesions),
            patient_PM=gather(own.patient_PM, share.patients_p, num_patients),
            phenotype_PX=gather(own.phenotype_PX, share.patients_p, num_patients),
            patient_of_lesion_K=self.patient_of_lesion_K,
            lesion_groups_K=self.lesion_groups_K,
            patient_groups_P=self.patient_groups_P,
            pictures=pictures,
        )
