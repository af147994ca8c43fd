"""The nested model: lesion image and lesion metadata, inside phenotype and patient metadata."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slimp_pipeline.models.image import build_image_encoder, hold_statistics, normalisation
from slimp_pipeline.models.phenotype import mean_per_patient
from slimp_pipeline.models.tabular import MetadataEncoder, TensorFields
from slimp_pipeline.parameters import LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding


@dataclass(frozen=True)
class NestedProjections:
    """What the losses compare. B lesions of P patients, D = projection_dim."""

    image_BD: Tensor
    lesion_metadata_BD: Tensor
    phenotype_PD: Tensor
    patient_metadata_PD: Tensor
    lesion_temperature: Tensor  # shape ()
    patient_temperature: Tensor  # shape ()


class SLIMP(nn.Module):
    """Nested contrastive model of lesions inside patients.

    Lesion level: the projection of a lesion's image meets that of its metadata. Patient level: image and
    metadata representations of a patient's lesions are averaged and concatenated into the phenotype,
    whose projection meets that of the patient's metadata.

    Source:
        SLIMP, arXiv:2505.23709. Projection heads (one hidden layer, GELU) and one temperature per level
        are our choice.
    """

    def __init__(
        self, settings: ModelParams, loss: LossParams, encoding: Encoding, *, load_weights: bool = True
    ) -> None:
        super().__init__()
        self.image_encoder = build_image_encoder(settings.image_encoder, load_weights=load_weights)
        self.lesion_encoder = MetadataEncoder(encoding.lesion, settings.metadata_encoder)
        self.patient_encoder = MetadataEncoder(encoding.patient, settings.metadata_encoder)
        image_dim, metadata_dim = int(self.image_encoder.num_features), settings.metadata_encoder.dim  # type: ignore[arg-type]
        dim = settings.projection_dim
        self.image_projection = _projection(image_dim, dim)
        self.lesion_projection = _projection(metadata_dim, dim)
        self.phenotype_projection = _projection(image_dim + metadata_dim, dim)
        self.patient_projection = _projection(metadata_dim, dim)
        self._keep_batch_norm = settings.image_encoder.keep_batch_norm
        self._min_log_temperature = math.log(loss.min_temperature)
        self.log_temperatures = nn.Parameter(torch.full((2,), loss.temperature).log())
        self.clamp_temperatures()
        mean_3, std_3 = normalisation(self.image_encoder)
        self.register_buffer("image_mean", mean_3, persistent=False)
        self.register_buffer("image_std", std_3, persistent=False)

    def forward(
        self, image_B3HH: Tensor, lesion: TensorFields, patient: TensorFields, patient_of_lesion_B: Tensor
    ) -> NestedProjections:
        """Project a batch of patients.

        Args:
            image_B3HH: Normalised views, one per lesion.
            lesion: Encoded lesion fields, B rows.
            patient: Encoded patient fields, P rows.
            patient_of_lesion_B: int64, row of each lesion's patient.
        """
        image_BI = self.image_encoder(image_B3HH)
        lesion_BM = self.lesion_encoder(lesion)
        patient_PM = self.patient_encoder(patient)
        phenotype_PX = mean_per_patient(
            torch.cat([image_BI, lesion_BM.to(image_BI.dtype)], dim=1), patient_of_lesion_B, len(patient_PM)
        )
        temperatures = self.log_temperatures.exp()
        return NestedProjections(
            self.image_projection(image_BI),
            self.lesion_projection(lesion_BM),
            self.phenotype_projection(phenotype_PX),
            self.patient_projection(patient_PM),
            temperatures[0],
            temperatures[1],
        )

    def train(self, mode: bool = True) -> "SLIMP":
        """Switch between training and evaluation; layers that are frozen keep their statistics."""
        super().train(mode)
        if mode:
            hold_statistics(self.image_encoder, keep_batch_norm=self._keep_batch_norm)
        return self

    @torch.no_grad()
    def clamp_temperatures(self) -> None:
        """Hold the temperatures at their minimum; called after every step.

        Clamped in `forward` instead, one that fell below would get no gradient, and never rise again.
        """
        self.log_temperatures.clamp_(min=self._min_log_temperature)


def _projection(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim_in), nn.Linear(dim_in, dim_out), nn.GELU(), nn.Linear(dim_out, dim_out))
