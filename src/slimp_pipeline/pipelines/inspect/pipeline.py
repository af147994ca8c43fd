"""Wiring of `inspect`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.inspect.nodes import embed, measure, render, suspect

_PICTURES, _SETTINGS = ["target.lesions", "target.image_store"], "params:inspection"


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The target role's lesions and images -> suspects, a decision file to be filled in, a page."""
    return Pipeline(
        [
            Node(
                embed,
                inputs=[
                    *_PICTURES, "encoders", "params:model", "params:training", _SETTINGS, "params:evaluation",
                ],
                outputs="inspected_embedding", name="embed_pictures", tags="costly",
            ),
            Node(
                measure, inputs=[*_PICTURES, "params:evaluation"], outputs="picture_measures",
                name="measure_pictures", tags="costly",
            ),
            Node(
                suspect,
                inputs=[
                    *_PICTURES, "inspected_embedding", "picture_measures", _SETTINGS, "params:evaluation",
                    "params:features",
                ],
                outputs=["suspects", "decision_template"], name="find_suspects", tags="costly",
            ),
            Node(
                render,
                inputs=["target.manifest", *_PICTURES, "suspects", "inspected_embedding", _SETTINGS],
                outputs="suspects_page", name="render_suspects",
            ),
        ]
    )  # fmt: skip
