"""Wiring of `prune`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.prune.nodes import plan_removal, remove_planned

_ASKED = {"data_root": "params:data_root", "settings": "params:prune", "registered_runs": "registered_runs"}


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The data folder -> a plan of what stays and what goes, a ledger of what was removed."""
    return Pipeline(
        [
            Node(plan_removal, inputs=_ASKED, outputs="prune_plan", name="plan_removal"),
            Node(
                remove_planned, inputs=_ASKED | {"planned": "prune_plan"}, outputs="prune_ledger", name="remove_planned"
            ),
        ]
    )
