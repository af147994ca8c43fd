"""Search: settings chosen on inner validation patients of the source role's training rows."""

from slimp_pipeline.pipelines.search.pipeline import create_pipeline

__all__ = ["create_pipeline"]
