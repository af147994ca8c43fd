"""Download: a cohort's files from the ISIC Archive or a published release."""

from slimp_pipeline.pipelines.download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
