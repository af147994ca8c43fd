"""Compare: several runs on one target, paired."""

from slimp_pipeline.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
