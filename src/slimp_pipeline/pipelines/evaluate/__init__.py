"""Evaluate: what the encoder is worth on the target role."""

from slimp_pipeline.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
