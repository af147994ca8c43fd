"""Wiring of `report`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.report.nodes import (
    count_rows,
    draw_training,
    export_figures,
    pick_gallery,
    picture_findings,
    render,
)

_ROLE_TABLES = {
    "manifest": "manifest",
    "splits": "splits",
    "duplicates": "duplicates",
    "conflicts": "patient_conflicts",
    "lesion_conflicts": "lesion_conflicts",
}
_COUNTED = {"manifest": "manifest", "facts": "row_facts", "quarantine": "quarantine"}
_FIGURES = {
    name: name
    for name in (
        "history_figure",
        "health_figure",
        "results_figure",
        "roc_figure",
        "confusion_figure",
        "reliability_figure",
        "low_shot_figure",
        "robustness_figure",
        "precision_recall_figure",
        "importance_figure",
        "row_counts_figure",
    )
} | {"embedding_map_figure": "embedding_map", "phenotype_map_figure": "phenotype_map"}

_EXPLAINED = (
    "importance",
    "controls",
    "field_reading",
    "leaks",
    "saliency",
    "patient_view",
    "pair_gallery",
    "saliency_pictures",
)


def create_pipeline(**kwargs: Any) -> Pipeline:
    """History, results and figures -> report page."""
    tables, counted = (
        {f"{role}_{key}": f"{role}.{name}" for role in ("source", "target") for key, name in named.items()}
        for named in (_ROLE_TABLES, _COUNTED)
    )
    names = (
        "gallery", "training_rows", "history", "results", "differences", "fields_read", "missingness", "subgroups",
        "known_truth", "seen_pictures", "row_counts", "evaluation_lineage",
        *_EXPLAINED,
    )  # fmt: skip
    return Pipeline(
        [
            Node(
                draw_training,
                inputs="history",
                outputs=["history_figure", "health_figure"],
                name="draw_training",
                tags="costly",
            ),
            Node(
                count_rows,
                inputs=counted
                | {
                    "training_rows": "training_rows",
                    "adaptation_rows": "adaptation_rows",
                    "rows": "evaluation_rows",
                    "splits": "target.splits",
                    "evaluation": "params:evaluation",
                },
                outputs=["row_counts", "row_counts_figure"],
                name="count_rows",
            ),
            Node(
                export_figures,
                inputs={"settings": "params:report", **_FIGURES},
                outputs="figure_files",
                name="export_figures",
                tags="costly",
            ),
            Node(
                pick_gallery,
                inputs=[
                    "target.manifest",
                    "evaluation_rows",
                    "target.splits",
                    "target.image_store",
                    "embeddings",
                    "params:report",
                ],
                outputs="gallery",
                name="pick_gallery",
            ),
            Node(
                picture_findings,
                inputs=[
                    "target.manifest",
                    "evaluation_rows",
                    "target.image_store",
                    "ugly_ducklings",
                    "found_pairs",
                    "saliency",
                    "saliency_maps",
                    "params:report",
                ],
                outputs=["patient_names", "patient_view", "pair_gallery", "saliency_pictures"],
                name="picture_findings",
            ),
            Node(
                render,
                inputs=tables
                | {name: name for name in names}
                | _FIGURES
                | {"evaluation": "params:evaluation", "features": "params:features", "settings": "params:report"},
                outputs="report_page",
                name="render_report",
            ),
        ]
    )
