"""Wiring of `features`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.features.nodes import compare_photographs, encode, group_patients
from slimp_pipeline.tables.combined import split_cohort


def create_pipeline(**kwargs: Any) -> Pipeline:
    """One role's lesions -> patients, splits, encodings, duplicates."""
    return Pipeline(
        [
            Node(
                group_patients, inputs=["params:cohort", "lesions", "params:features"],
                outputs=["patients", "patient_conflicts", "lesion_conflicts"], name="group_patients",
            ),
            Node(
                split_cohort, inputs=["params:cohort", "lesions", "params:features"],
                outputs="splits", name="split_patients",
            ),
            Node(
                encode,
                inputs=["params:cohort", "params:target.cohort", "lesions", "patients", "splits", "params:features"],
                outputs="encodings", name="fit_encodings",
            ),
            Node(
                compare_photographs, inputs=["lesions", "splits", "image_store", "params:features"],
                outputs="duplicates", name="find_duplicates",
            ),
        ]
    )  # fmt: skip
