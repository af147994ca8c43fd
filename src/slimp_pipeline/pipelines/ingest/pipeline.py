"""Wiring of `ingest`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.ingest.nodes import draw_contact_sheet, link_images, pack_images, read_lesions


def create_pipeline(**kwargs: Any) -> Pipeline:
    """One role's raw files -> lesions, image store, quarantine, manifest, contact sheet."""
    return Pipeline(
        [
            Node(
                read_lesions, inputs=["params:cohort", "raw_files"], outputs=["rows", "row_quarantine"],
                name="read_lesions",
            ),
            Node(
                pack_images, inputs=["rows", "raw_files", "params:ingest"], outputs="image_store",
                name="pack_images",
            ),
            Node(
                link_images,
                inputs=["params:cohort", "rows", "row_quarantine", "raw_files", "image_store", "params:ingest"],
                outputs=["lesions", "quarantine", "manifest"],
                name="link_images",
            ),
            Node(
                draw_contact_sheet, inputs=["lesions", "image_store"], outputs="contact_sheet",
                name="draw_contact_sheet",
            ),
        ]
    )  # fmt: skip
