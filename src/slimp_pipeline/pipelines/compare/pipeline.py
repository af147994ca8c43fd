"""Wiring of `compare`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.compare.nodes import compare, render


def create_pipeline(**kwargs: Any) -> Pipeline:
    """Predictions of several runs -> values, paired differences, page."""
    return Pipeline(
        [
            Node(
                compare,
                inputs=[
                    "params:target.cohort",
                    "compared_predictions",
                    "compared_truths",
                    "compared_readings",
                    "params:comparison",
                    "params:evaluation",
                    "params:features",
                    "find_version",
                ],
                outputs=["comparison", "comparison_pairs", "comparison_truths", "comparison_readings"],
                name="compare",
            ),
            Node(
                render,
                inputs=[
                    "params:target.cohort",
                    "comparison",
                    "comparison_pairs",
                    "comparison_truths",
                    "comparison_readings",
                    "params:evaluation",
                    "params:features",
                ],
                outputs="comparison_page",
                name="render_comparison",
            ),
        ]
    )
