"""Wiring of `adapt`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.adapt.nodes import adapt, select_adaptation_rows


def create_pipeline(**kwargs: Any) -> Pipeline:
    """Encoders and the target role's features -> encoders adapted to each of its partitions."""
    return Pipeline(
        [
            Node(
                select_adaptation_rows,
                inputs=[
                    "params:source.cohort",
                    "params:target.cohort",
                    "target.lesions",
                    "target.splits",
                    "training_rows",
                    "encoders",
                    "params:adaptation",
                    "params:model",
                    "params:training",
                    "params:features",
                ],
                outputs="adaptation_rows",
                name="select_adaptation_rows",
            ),
            Node(
                adapt,
                inputs=[
                    "params:target.cohort",
                    "target.lesions",
                    "target.patients",
                    "target.encodings",
                    "target.manifest",
                    "target.image_store",
                    "adaptation_rows",
                    "encoders",
                    "params:adaptation",
                    "params:training",
                    "params:running_root",
                    "report_progress",
                ],
                outputs=["adapted_encoders", "adaptation_history"],
                name="adapt",
            ),
        ]
    )
