"""Report: one self-contained page."""

from slimp_pipeline.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
