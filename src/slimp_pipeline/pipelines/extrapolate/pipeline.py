"""Wiring of `extrapolate`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.evaluation.features.embed import chosen_rows
from slimp_pipeline.pipelines.extrapolate import nodes

_SOURCE, _TARGET = "params:source.cohort", "params:target.cohort"
_ROWS = {"source": "reference_rows", "target": "borrowing_rows"}
_TABLES = (
    "borrowed",
    "borrowed_quality",
    "borrowed_other_fields",
    "borrowed_cases",
    "borrowed_results",
    "borrowed_worth",
)


def create_pipeline(**kwargs: Any) -> Pipeline:
    """Encoders, reference (source role) and target -> borrowed metadata, their quality and worth, a page."""
    return Pipeline(
        [
            *(
                Node(
                    chosen_rows,
                    inputs=[
                        f"params:{role}.cohort", f"{role}.lesions", f"{role}.patients", f"{role}.splits",
                        "params:features",
                    ],
                    outputs=_ROWS[role], name=f"select_{_ROWS[role]}",
                )
                for role in ("source", "target")
            ),
            Node(
                nodes.check_lenders,
                inputs=[
                    _SOURCE, _TARGET, "target.lesions", "target.splits", "training_rows", "encoders", "params:model",
                    "params:training", "params:features",
                ],
                outputs="lending_encoders", name="check_lenders",
            ),
            Node(
                nodes.know_sides,
                inputs=[
                    _SOURCE, _TARGET, _ROWS["source"], _ROWS["target"], "source.image_store", "target.image_store",
                ],
                outputs="lending", name="know_sides",
            ),
            Node(
                nodes.borrow,
                inputs=[
                    "lending", _SOURCE, "source.lesions", "training_rows", "lending_encoders", "params:features",
                    "params:extrapolation", "params:evaluation",
                ],
                outputs=["borrowed", "neighbour_embeddings"], name="borrow",
            ),
            Node(
                nodes.judge,
                inputs=[
                    _SOURCE, _TARGET, _ROWS["source"], _ROWS["target"], "target.splits", "borrowed",
                    "params:extrapolation", "params:evaluation",
                ],
                outputs=["borrowed_quality", "borrowed_other_fields", "borrowed_cases"], name="judge_borrowed",
                tags="costly",
            ),
            Node(
                nodes.prove,
                inputs=[
                    _TARGET, _ROWS["target"], "target.splits", "borrowed", "neighbour_embeddings", "encoders",
                    "target.encodings", "params:features", "params:evaluation",
                ],
                outputs=["borrowed_results", "borrowed_worth"], name="prove_borrowed", tags="costly",
            ),
            Node(
                nodes.render,
                inputs={
                    "source": _SOURCE, "target": _TARGET, "reference_rows": _ROWS["source"],
                    "target_rows": _ROWS["target"], "reference_store": "source.image_store",
                    "target_store": "target.image_store", "settings": "params:evaluation",
                    **{name.removeprefix("borrowed_"): name for name in _TABLES},
                },
                outputs="extrapolation_page", name="render_extrapolation",
            ),
        ]
    )  # fmt: skip
