"""Wiring of `pretrain`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.pretrain.nodes import pretrain, select_training_rows


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The source role's features -> encoders, their training rows, history."""
    return Pipeline(
        [
            Node(
                select_training_rows,
                inputs=["params:source.cohort", "params:target.cohort", "source.splits", "params:features"],
                outputs="training_rows",
                name="select_training_rows",
            ),
            Node(
                pretrain,
                inputs=[
                    "params:source.cohort",
                    "source.lesions",
                    "source.patients",
                    "source.encodings",
                    "source.manifest",
                    "source.image_store",
                    "training_rows",
                    "params:model",
                    "params:training",
                    "params:ingest",
                    "params:running_root",
                    "report_progress",
                ],
                outputs=["encoders", "history"],
                name="pretrain",
            ),
        ]
    )
