"""Inspect: near duplicates, off-topic and broken pictures, likely label errors, for a person to decide on."""

from slimp_pipeline.pipelines.inspect.pipeline import create_pipeline

__all__ = ["create_pipeline"]
