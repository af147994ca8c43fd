"""Adapt: continual pre-training on the target role."""

from slimp_pipeline.pipelines.adapt.pipeline import create_pipeline

__all__ = ["create_pipeline"]
