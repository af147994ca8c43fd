"""Settings of every pipeline: one frozen model per block of `conf/<env>/parameters_*.yml`.

A misspelt or unknown setting is refused by name when a run starts, before any work is done.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Block(BaseModel):
    """A block of settings: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestParams(Block):
    """How raw images are checked and packed."""

    max_side_px: int = Field(512, ge=16)  # larger images are resized once, when packed
    max_megapixels: float = Field(60.0, gt=0)  # larger images are refused as decompression bombs
    jpeg_quality: int = Field(95, ge=50, le=100)
    max_quarantined_share: Share = 0.05  # of table rows; above it the run stops
    num_processes: int = Field(2, ge=1)


class FeatureParams(Block):
    """How patients are split and which fields are encoded."""

    seed: int = 0
    num_folds: int = Field(5, ge=2)
    holdout_share: Share = 0.0  # of patients, in no fold: tested once
    split_file: Path | None = None  # official split: CSV with image_id (or isic_id) and split
    fields: Literal["all"] | list[str] = "all"
    near_duplicate_bits: int = Field(3, ge=0, le=3)  # Hamming distance of 64-bit perceptual hashes


class ImageEncoderParams(Block):
    """A timm backbone and where its first weights come from."""

    name: str = "vit_small_patch16_224"
    image_size: int = Field(224, ge=16)
    weights: str = "random"  # random | hub | path of a safetensors file
    arguments: dict[str, Any] | None = None  # passed on to timm.create_model
    num_trained_stages: int | None = Field(None, ge=0)  # the last N stages train; None: all
    keep_batch_norm: bool = False  # batch norm goes by the statistics of the first weights, never by the batch's

    @model_validator(mode="after")
    def _kept_statistics_exist(self) -> "ImageEncoderParams":
        if self.keep_batch_norm and self.weights == "random":
            raise ValueError("keep_batch_norm needs first weights that have statistics; `weights` is random")
        return self


class MetadataEncoderParams(Block):
    """Transformer over one token per field (TRACE, arXiv:2411.08701)."""

    dim: int = Field(128, ge=8)
    depth: int = Field(1, ge=0)
    num_heads: int = Field(2, ge=1)
    ffn_ratio: int = Field(4, ge=1)
    field_dropout: float = Field(0.0, ge=0, lt=1)  # of the known fields, hidden at random while training

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> "MetadataEncoderParams":
        if self.dim % self.num_heads:
            raise ValueError(f"dim {self.dim} is not a multiple of num_heads {self.num_heads}")
        return self


class ModelParams(Block):
    """The nested model."""

    image_encoder: ImageEncoderParams = ImageEncoderParams()
    metadata_encoder: MetadataEncoderParams = MetadataEncoderParams()
    projection_dim: int = Field(128, ge=8)


class LossParams(Block):
    """L = lesion_weight * L_lesion + (1 - lesion_weight) * L_patient."""

    lesion_weight: Share = 0.5
    temperature: float = Field(0.07, gt=0)
    min_temperature: float = Field(0.01, gt=0)
    multi_positive: bool = True  # rows with the anchor's metadata are positives, not negatives


class AugmentationParams(Block):
    """One affine map and one colour map per image, drawn anew at every step."""

    min_crop_share: Share = 0.5  # of the area
    max_rotation_degrees: float = Field(180.0, ge=0, le=180)
    flip: bool = True
    brightness: float = Field(0.2, ge=0)
    contrast: float = Field(0.2, ge=0)
    saturation: float = Field(0.2, ge=0)
    hue_degrees: float = Field(7.0, ge=0)


class SamplerParams(Block):
    """A batch is `patients_per_batch` patients with up to `lesions_per_patient` lesions each."""

    patients_per_batch: int = Field(64, ge=2)
    lesions_per_patient: int = Field(8, ge=1)
    malignant_first_share: Share = 0.0  # of the lesions drawn; 0 switches positive sampling off


class TrainingParams(Block):
    """The pre-training run."""

    seed: int = 0
    device: Device = "auto"
    num_epochs: int = Field(100, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    image_learning_rate: float | None = Field(None, gt=0)  # None: learning_rate
    weight_decay: float = Field(0.05, ge=0)
    warmup_share: Share = 0.1  # of the steps
    max_grad_norm: float = Field(1.0, gt=0)
    mixed_precision: bool = True  # bfloat16 on CUDA; never on the CPU, where it is slower
    num_workers: int = Field(1, ge=0)
    validation_share: Share = 0.1  # of the training patients
    patience_epochs: int | None = Field(None, ge=1)  # early stop on validation loss; None: off
    checkpoint_every_steps: int = Field(50, ge=1)
    sampler: SamplerParams = SamplerParams()
    augmentation: AugmentationParams = AugmentationParams()
    loss: LossParams = LossParams()


class ProbeParams(Block):
    """Linear probe and k-NN on frozen embeddings."""

    strengths: list[float] = [0.001, 0.01, 0.1, 1.0, 10.0]  # inverse L2 penalty, chosen by inner folds
    num_inner_folds: int = Field(5, ge=2)
    num_neighbours: int = Field(11, ge=1)


class EvaluationParams(Block):
    """What is measured on the target cohort, and how sure it is."""

    seed: int = 0
    device: Device = "auto"
    batch_size: int = Field(64, ge=1)
    num_workers: int = Field(1, ge=0)
    label: Literal["diagnosis", "malignant"] = "diagnosis"
    probe: ProbeParams = ProbeParams()
    num_resamples: int = Field(1000, ge=10)  # bootstrap over patients
    confidence: float = Field(0.95, gt=0.5, lt=1)


class ReportParams(Block):
    """What the HTML page shows."""

    gallery_size: int = Field(6, ge=0)
    show_ids: bool = False  # image ids of the cohort on the page
