"""Wiring of `fabricate`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.fabricate.nodes import provide_raw_files


def create_pipeline(**kwargs: Any) -> Pipeline:
    """One role's raw files."""
    return Pipeline(
        [
            Node(
                provide_raw_files,
                inputs=["params:cohort", "params:raw_root", "params:fabricated_root"],
                outputs="raw_files",
                name="provide_raw_files",
            )
        ]
    )
