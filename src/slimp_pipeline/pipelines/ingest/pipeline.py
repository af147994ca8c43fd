"""Wiring of `ingest`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.ingest.nodes import (
    draw_contact_sheet,
    link_images,
    match_images,
    pack_images,
    read_lesions,
)

_READ = ["rows", "row_quarantine", "row_facts"]
_MATCHED = ["image_files", "other_files", "file_notes"]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """One role's raw files -> lesions, image store, what was set aside and why, manifest, contact sheet."""
    return Pipeline(
        [
            Node(
                read_lesions, inputs=["params:cohort", "raw_files"], outputs=_READ, name="read_lesions",
                tags="costly",
            ),
            Node(
                match_images, inputs=["params:cohort", *_READ, "raw_files"], outputs=_MATCHED, name="match_images",
            ),
            Node(
                pack_images, inputs=["params:cohort", "image_files", "params:ingest"], outputs="image_store",
                name="pack_images",
            ),
            Node(
                link_images,
                inputs=["params:cohort", *_READ, *_MATCHED, "image_store", "params:ingest"],
                outputs=["lesions", "quarantine", "unused_files", "diagnoses", "manifest"],
                name="link_images",
            ),
            Node(
                draw_contact_sheet, inputs=["lesions", "image_store"], outputs="contact_sheet",
                name="draw_contact_sheet", tags="costly",
            ),
        ]
    )  # fmt: skip
