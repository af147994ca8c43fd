"""Pretrain: nested contrastive pre-training of the source role."""

from slimp_pipeline.pipelines.pretrain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
