"""Extrapolate: metadata borrowed from reference lesions, and their quality."""

from slimp_pipeline.pipelines.extrapolate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
