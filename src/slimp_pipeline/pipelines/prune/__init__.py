"""Pruning of what earlier runs left."""

from slimp_pipeline.pipelines.prune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
