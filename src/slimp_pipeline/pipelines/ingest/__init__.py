"""Ingest: raw files to a checked lesions table and an image store."""

from slimp_pipeline.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
