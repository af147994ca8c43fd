"""Wiring of `export`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.export.nodes import export_model, publish

IF_THERE = ("evaluation_rows", "target.splits", "embeddings", "results")
"""What is read where an evaluation rests on the encoders that are exported, and is None elsewhere."""


def create_pipeline(**kwargs: Any) -> Pipeline:
    """Encoders, and what an evaluation of theirs left if there is one -> a folder to hand on; where it was sent."""
    return Pipeline(
        [
            Node(
                export_model,
                inputs=[
                    "encoders", "training_rows", "params:source.cohort", "params:target.cohort", *IF_THERE,
                    "params:evaluation", "params:export",
                ],
                outputs="exported_model", name="export_model",
            ),
            Node(publish, inputs=["exported_model", "params:export"], outputs="published", name="publish"),
        ]
    )  # fmt: skip
