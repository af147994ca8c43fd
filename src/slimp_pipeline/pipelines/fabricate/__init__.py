"""Fabricate: raw files of the demo cohorts, made from a seed."""

from slimp_pipeline.pipelines.fabricate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
