"""Features: patients, patient-disjoint splits, fitted encodings."""

from slimp_pipeline.pipelines.features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
