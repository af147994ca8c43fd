"""The nested model: image and metadata of lesions, inside phenotype and metadata of patients; two levels or three."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from slimp_pipeline.images.augment import ViewFormat
from slimp_pipeline.losses import Dims, build_objective
from slimp_pipeline.losses.nuisance import explained_share, nuisance_columns
from slimp_pipeline.losses.objective import Contrast, Pictures, Representations
from slimp_pipeline.losses.reconstruction import Reconstruction
from slimp_pipeline.models.batch import Batch
from slimp_pipeline.models.image import build_image_encoder, hold_statistics, normalisation
from slimp_pipeline.models.passes import encode_in_passes
from slimp_pipeline.models.phenotype import build_pooling, mean_of, together
from slimp_pipeline.models.tabular import MetadataEncoder, hide_fields, known_fields
from slimp_pipeline.parameters import LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding

HEADS = ("objective.", "reconstructions.")
"""Names of weights that see the whole batch, in each of several processes; all others see a process's own part."""


class SLIMP(nn.Module):
    """Encoders of images, lesion metadata, patient metadata and phenotype, with the objective that trains them.

    Where pictures have fields of their own, these have an encoder too, and a lesion's pictures are pooled by their mean
    (our choice: they are few, and show one thing).

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
        self.picture_encoder = (
            MetadataEncoder(encoding.image, settings.metadata_encoder) if encoding.has_three_levels else None
        )
        image_dim, metadata_dim = int(self.image_encoder.num_features), settings.metadata_encoder.dim  # type: ignore[arg-type]
        pictures_dim = image_dim + metadata_dim if self.picture_encoder else None
        self.pooling = build_pooling(settings.pooling, (pictures_dim or image_dim) + metadata_dim)
        phenotype_dim = int(self.pooling.out_dim)  # type: ignore[arg-type]
        dims = Dims(image_dim, metadata_dim, phenotype_dim, settings.projection_dim, pictures_dim)
        self.objective = build_objective(loss, dims)
        self.reconstructions = nn.ModuleDict()
        self._reconstruction_weight = loss.reconstruction_weight
        if loss.reconstruction_weight:
            if not settings.metadata_encoder.field_dropout:
                raise ValueError(
                    "training.loss.reconstruction_weight reconstructs hidden fields, and none is hidden: set "
                    "model.metadata_encoder.field_dropout above 0"
                )
            contexts = {"image": image_dim, "lesion": dims.look, "patient": phenotype_dim}
            for name, level in encoding.levels.items():
                self.reconstructions[name] = Reconstruction(level, contexts[name] + metadata_dim)
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
        """Represent a batch; in training also hide fields, and say which: bool (rows, F) by level.

        Where several processes share it, each encodes its part, and all get the whole. Fields are hidden as one
        process would hide them; what the networks draw, dropout say, differs between the parts.
        """
        hidden, seen = {}, batch
        if self.training and self._field_dropout:
            lesion, hidden["lesion"] = hide_fields(batch.lesion, self._field_dropout)
            patient, hidden["patient"] = hide_fields(batch.patient, self._field_dropout)
            seen = replace(batch, lesion=lesion, patient=patient)
            if batch.pictures:
                fields, hidden["image"] = hide_fields(batch.pictures.fields, self._field_dropout)
                seen = replace(seen, pictures=replace(batch.pictures, fields=fields))
        if batch.share:
            batch.share.ranks.part_ways()
        own = seen.own_part()
        image_I = encode_in_passes(self.image_encoder, own.views, images_per_pass)
        lesion_KM, patient_PM = self.lesion_encoder(own.lesion), self.patient_encoder(own.patient)
        picture_BM = self.picture_encoder(own.pictures.fields) if self.picture_encoder and own.pictures else None
        represented = self.represent(image_I, lesion_KM, patient_PM, own, picture_BM)
        return batch.gathered(represented), hidden

    def reconstruct(self, represented: Representations, batch: Batch, hidden: dict[str, Tensor]) -> Tensor:
        """Loss of telling the hidden fields of all levels, shape ()."""
        context = {
            "lesion": torch.cat([represented.look_KX, represented.lesion_KM], dim=1),
            "patient": torch.cat([represented.phenotype_PX, represented.patient_PM], dim=1),
        }
        fields = {"lesion": batch.lesion, "patient": batch.patient}
        if represented.pictures and batch.pictures:
            context["image"] = torch.cat([represented.image_VBI[0], represented.pictures.fields_BM], dim=1)
            fields["image"] = batch.pictures.fields
        terms = [head(context[name], fields[name], hidden[name]) for name, head in self.reconstructions.items()]
        return torch.stack(terms).sum()

    def represent(
        self, image_I: Tensor, lesion_KM: Tensor, patient_PM: Tensor, batch: Batch, picture_BM: Tensor | None = None
    ) -> Representations:
        """Gather what the objective compares from embeddings of images, (V * B, I), and metadata.

        With three levels those of the pictures' own metadata are among them.
        """
        pictures = batch.pictures
        image_VBI = image_I.unflatten(0, (-1, len(pictures.groups_B if pictures else lesion_KM)))
        look_KX, level = image_VBI[0], None
        if pictures and picture_BM is not None:
            look_KX = self.pool_pictures(image_VBI[0], picture_BM, pictures.lesion_of_image_B, len(lesion_KM))
            level = Pictures(picture_BM, pictures.groups_B, pictures.lesion_of_image_B, look_KX)
        return Representations(
            image_VBI,
            lesion_KM,
            patient_PM,
            self.phenotype(look_KX, lesion_KM, batch.patient_of_lesion_K, len(patient_PM)),
            batch.patient_of_lesion_K,
            batch.lesion_groups_K,
            batch.patient_groups_P,
            level,
        )

    def pool_pictures(
        self, image_BI: Tensor, picture_BM: Tensor, lesion_of_image_B: Tensor, num_lesions: int
    ) -> Tensor:
        """Mean of image and metadata embeddings of each lesion's pictures: (K, X), what the lesions look like."""
        return mean_of(together(image_BI, picture_BM), lesion_of_image_B, num_lesions)

    def phenotype(self, look_KX: Tensor, lesion_KM: Tensor, patient_of_lesion_K: Tensor, num_patients: int) -> Tensor:
        """Pool each patient's lesions, what they look like and embedded metadata: (P, X)."""
        return self.pooling(together(look_KX, lesion_KM), patient_of_lesion_K, num_patients)

    def train(self, mode: bool = True) -> "SLIMP":
        """Switch between training and evaluation; layers that are frozen keep their statistics."""
        super().train(mode)
        if mode:
            hold_statistics(self.image_encoder, keep_batch_norm=self._keep_batch_norm)
        return self
