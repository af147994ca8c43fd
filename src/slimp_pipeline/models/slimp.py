"""The nested model: lesion image and lesion metadata, inside phenotype and patient metadata."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from slimp_pipeline.images.augment import ViewFormat
from slimp_pipeline.losses import Dims, build_objective
from slimp_pipeline.losses.nuisance import explained_share, nuisance_columns
from slimp_pipeline.losses.objective import Contrast, Representations
from slimp_pipeline.losses.reconstruction import Reconstruction
from slimp_pipeline.models.batch import Batch
from slimp_pipeline.models.image import build_image_encoder, hold_statistics, normalisation
from slimp_pipeline.models.passes import encode_in_passes
from slimp_pipeline.models.phenotype import build_pooling
from slimp_pipeline.models.tabular import MetadataEncoder, hide_fields, known_fields
from slimp_pipeline.parameters import LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding

HEADS = ("objective.", "reconstructions.")
"""Names of weights that see the whole batch, in each of several processes; all others see a process's own part."""


class SLIMP(nn.Module):
    """Encoders of images, lesion metadata, patient metadata and phenotype, with the objective that trains them.

    The encoders are the same whatever the objective, and start from the same weights for the same seed.

    Raises:
        ValueError: If hidden fields are to be reconstructed and none is ever hidden.

    Source:
        SLIMP, arXiv:2505.23709.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(
        self, settings: ModelParams, loss: LossParams, encoding: Encoding, *, load_weights: bool = True
    ) -> None:
        super().__init__()
        self.image_encoder = build_image_encoder(settings.image_encoder, load_weights=load_weights)
        self.lesion_encoder = MetadataEncoder(encoding.lesion, settings.metadata_encoder)
        self.patient_encoder = MetadataEncoder(encoding.patient, settings.metadata_encoder)
        image_dim, metadata_dim = int(self.image_encoder.num_features), settings.metadata_encoder.dim  # type: ignore[arg-type]
        self.pooling = build_pooling(settings.pooling, image_dim + metadata_dim)
        phenotype_dim = int(self.pooling.out_dim)  # type: ignore[arg-type]
        self.objective = build_objective(loss, Dims(image_dim, metadata_dim, phenotype_dim, settings.projection_dim))
        self.reconstructions = nn.ModuleDict()
        self._reconstruction_weight = loss.reconstruction_weight
        if loss.reconstruction_weight:
            if not settings.metadata_encoder.field_dropout:
                raise ValueError(
                    "training.loss.reconstruction_weight reconstructs hidden fields, and none is hidden: set "
                    "model.metadata_encoder.field_dropout above 0"
                )
            self.reconstructions["lesion"] = Reconstruction(encoding.lesion, image_dim + metadata_dim)
            self.reconstructions["patient"] = Reconstruction(encoding.patient, phenotype_dim + metadata_dim)
        self._nuisance, self._nuisance_weight = encoding.nuisance, loss.nuisance_weight
        self._field_dropout = settings.metadata_encoder.field_dropout
        self._keep_batch_norm = settings.image_encoder.keep_batch_norm
        mean_3, std_3 = normalisation(self.image_encoder)
        self.register_buffer("image_mean", mean_3, persistent=False)
        self.register_buffer("image_std", std_3, persistent=False)

    def view_format(self, image_size: int, dtype: torch.dtype = torch.float32) -> ViewFormat:
        """Views as the image encoder takes them, for canvases on the model's device."""
        return ViewFormat(image_size, self.image_mean, self.image_std, dtype)

    def forward(
        self, batch: Batch, images_per_pass: int | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Contrast]]:
        """Represent and contrast a batch of patients.

        Args:
            batch: The batch.
            images_per_pass: How many images go through the image encoder at once; None: all.

        Returns:
            Losses in nats, each shape (): `loss`, and its terms as `loss_<name>`; and the contrasts by name.
        """
        represented, hidden = self.encode(batch, images_per_pass)
        # Up to here every lesion and patient stands for itself; from here on all of the batch meet.
        contrasts = self.objective.contrasts(represented)
        losses = self.objective.losses(contrasts)
        if hidden and self.reconstructions:
            losses["loss_reconstruction"] = self.reconstruct(represented, batch, hidden)
            losses["loss"] = losses["loss"] + self._reconstruction_weight * losses["loss_reconstruction"]
        if self._nuisance_weight and self._nuisance.fields and batch.nuisance:
            columns = nuisance_columns(self._nuisance, batch.nuisance, known_fields(batch.nuisance))
            losses["loss_nuisance"] = explained_share(represented.image_VBI[0], *columns)
            losses["loss"] = losses["loss"] + self._nuisance_weight * losses["loss_nuisance"]
        return losses, contrasts

    def encode(self, batch: Batch, images_per_pass: int | None = None) -> tuple[Representations, dict[str, Tensor]]:
        """Represent a batch; in training also hide fields, and say which: bool (N, F) by level.

        Where several processes share it, each encodes its part, and all get the whole. Fields are hidden as one
        process would hide them; what the networks draw, dropout say, differs between the parts.
        """
        hidden, seen = {}, batch
        if self.training and self._field_dropout:
            lesion, hidden["lesion"] = hide_fields(batch.lesion, self._field_dropout)
            patient, hidden["patient"] = hide_fields(batch.patient, self._field_dropout)
            seen = replace(batch, lesion=lesion, patient=patient)
        if batch.share:
            batch.share.ranks.part_ways()
        own = seen.own_part()
        image_I = encode_in_passes(self.image_encoder, own.views, images_per_pass)
        represented = self.represent(image_I, self.lesion_encoder(own.lesion), self.patient_encoder(own.patient), own)
        return batch.gathered(represented), hidden

    def reconstruct(self, represented: Representations, batch: Batch, hidden: dict[str, Tensor]) -> Tensor:
        """Loss of telling the hidden fields of both levels, shape ()."""
        context = {
            "lesion": torch.cat([represented.image_VBI[0], represented.lesion_BM], dim=1),
            "patient": torch.cat([represented.phenotype_PX, represented.patient_PM], dim=1),
        }
        fields = {"lesion": batch.lesion, "patient": batch.patient}
        terms = [head(context[name], fields[name], hidden[name]) for name, head in self.reconstructions.items()]
        return torch.stack(terms).sum()

    def represent(self, image_I: Tensor, lesion_BM: Tensor, patient_PM: Tensor, batch: Batch) -> Representations:
        """Gather what the objective compares from embeddings of images, (V * B, I), and metadata."""
        image_VBI = image_I.unflatten(0, (-1, len(lesion_BM)))
        return Representations(
            image_VBI,
            lesion_BM,
            patient_PM,
            self.phenotype(image_VBI[0], lesion_BM, batch.patient_of_lesion_B, len(patient_PM)),
            batch.patient_of_lesion_B,
            batch.lesion_groups_B,
            batch.patient_groups_P,
        )

    def phenotype(self, image_BI: Tensor, lesion_BM: Tensor, patient_of_lesion_B: Tensor, num_patients: int) -> Tensor:
        """Pool image and metadata embeddings of each patient's lesions: (P, X)."""
        lesions_BD = torch.cat([image_BI, lesion_BM.to(image_BI.dtype)], dim=1)
        return self.pooling(lesions_BD, patient_of_lesion_B, num_patients)

    def train(self, mode: bool = True) -> "SLIMP":
        """Switch between training and evaluation; layers that are frozen keep their statistics."""
        super().train(mode)
        if mode:
            hold_statistics(self.image_encoder, keep_batch_norm=self._keep_batch_norm)
        return self
