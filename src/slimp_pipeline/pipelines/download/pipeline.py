"""Wiring of `download`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.download.nodes import fetch, land

_ASKED = ["params:downloaded.cohort", "params:raw_root", "params:download"]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """A cohort's YAML -> its raw files in their folder, the ledger, what came under which licence."""
    return Pipeline(
        [
            Node(fetch, inputs=_ASKED, outputs="download_ledger", name="fetch"),
            Node(land, inputs=[*_ASKED, "download_ledger"], outputs="download_summary", name="land"),
        ]
    )
