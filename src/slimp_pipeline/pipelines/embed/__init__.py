"""Embed: one's own pictures by an exported encoder, with what it knows of them."""

from slimp_pipeline.pipelines.embed.pipeline import create_pipeline

__all__ = ["create_pipeline"]
