"""Export: an encoder as others take it, with what is known of lesions that it has met."""

from slimp_pipeline.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
