"""Wiring of `evaluate`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.evaluate.nodes import draw_results, embed, measure, predict, select_rows


def create_pipeline(**kwargs: Any) -> Pipeline:
    """Encoders and the target role's features -> embeddings, results, predictions, figures."""
    return Pipeline(
        [
            Node(
                select_rows,
                inputs=[
                    "params:source.cohort",
                    "params:target.cohort",
                    "target.lesions",
                    "target.patients",
                    "target.splits",
                    "training_rows",
                    "adaptation_rows",
                    "encoders",
                    "params:model",
                    "params:training",
                ],
                outputs="evaluation_rows",
                name="select_evaluation_rows",
            ),
            Node(
                embed,
                inputs=["evaluation_rows", "target.image_store", "encoders", "adapted_encoders", "params:evaluation"],
                outputs="embeddings",
                name="embed",
            ),
            Node(
                predict,
                inputs=[
                    "params:target.cohort",
                    "evaluation_rows",
                    "target.splits",
                    "embeddings",
                    "target.encodings",
                    "params:evaluation",
                ],
                outputs="predictions",
                name="predict",
            ),
            Node(
                measure,
                inputs=["params:target.cohort", "predictions", "params:evaluation"],
                outputs=["results", "differences"],
                name="measure",
            ),
            Node(
                draw_results,
                inputs=[
                    "evaluation_rows",
                    "target.splits",
                    "embeddings",
                    "results",
                    "predictions",
                    "params:evaluation",
                ],
                outputs=["results_figure", "roc_figure", "confusion_figure", "embedding_map"],
                name="draw_results",
            ),
        ]
    )
