"""The model's settings; checkpoints hold them, too."""

from typing import Literal

from pydantic import Field, model_validator

from slimp_pipeline.architecture import PlainArguments, TimmName
from slimp_pipeline.parameters.block import Block

Pooling = Literal["mean", "max", "gated_attention", "set_transformer"]


class ImageEncoderParams(Block):
    """A timm backbone and where its first weights come from.

    Checkpoints hold these settings too, and may come from anywhere: nothing in them makes timm fetch or read anything.
    """

    name: TimmName = "vit_small_patch16_224"
    image_size: int = Field(224, ge=16)
    weights: str = "random"  # random | hub | path of a safetensors file
    arguments: PlainArguments | None = None  # of the architecture, passed on to timm.create_model
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
    pooling: Pooling = "mean"  # of a patient's lesions into its phenotype
    projection_dim: int = Field(128, ge=8)
