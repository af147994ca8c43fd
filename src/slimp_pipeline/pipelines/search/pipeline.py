"""Wiring of `search`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.search.nodes import draw, search_settings, select_rows

_SETTINGS = "params:search"


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The source role's features -> the rows that choose, trials, chosen settings, figures."""
    return Pipeline(
        [
            Node(
                select_rows,
                inputs=[
                    "params:source.cohort", "params:target.cohort", "source.lesions", "source.splits",
                    "params:features", _SETTINGS,
                ],
                outputs="search_rows", name="select_search_rows",
            ),
            Node(
                search_settings,
                inputs=[
                    "params:source.cohort", "source.lesions", "source.patients", "source.manifest",
                    "source.image_store", "search_rows", "params:features", "params:model", "params:training",
                    _SETTINGS, "params:evaluation", "params:running_root", "lineage", "report_progress",
                ],
                outputs=["search_trials", "search_curves", "chosen_settings"], name="search_settings",
            ),
            Node(
                draw, inputs=["search_trials", "search_curves", "chosen_settings", _SETTINGS],
                outputs=["search_figure", "search_budget_figure"], name="draw_search",
            ),
        ]
    )  # fmt: skip
