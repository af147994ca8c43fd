"""Wiring of `evaluate`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.evaluate import audits, drawing, explanations, nodes

_TARGET, _SETTINGS = "params:target.cohort", "params:evaluation"
_ROWS = ["evaluation_rows", "target.splits"]
_ENCODERS = ["encoders", "adapted_encoders"]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """Encoders and the target role's features -> embeddings, predictions, results, figures."""
    return Pipeline(
        [
            Node(
                audits.state_task, inputs=[_TARGET, "target.lesions", _SETTINGS], outputs="task", name="state_task",
            ),
            Node(
                audits.note_lineage, inputs=["lineage", "adaptation_rows", "params:features", _SETTINGS],
                outputs="evaluation_lineage", name="note_lineage",
            ),
            Node(
                nodes.select_rows,
                inputs=[
                    "params:source.cohort", _TARGET, "target.lesions", "target.patients", "target.splits",
                    "training_rows", "adaptation_rows", "encoders", "params:model", "params:training",
                    "params:features",
                ],
                outputs=["evaluation_rows", "fields_read"], name="select_evaluation_rows",
            ),
            Node(
                nodes.embed, inputs=["evaluation_rows", "target.image_store", *_ENCODERS, _SETTINGS],
                outputs="embeddings", name="embed", tags="costly",
            ),
            Node(
                nodes.predict, inputs=[_TARGET, *_ROWS, "embeddings", "target.encodings", _SETTINGS],
                outputs="frozen_predictions", name="predict", tags="costly",
            ),
            Node(
                nodes.learn_from_few, inputs=[_TARGET, *_ROWS, "embeddings", "target.encodings", _SETTINGS],
                outputs="low_shot", name="learn_from_few", tags="costly",
            ),
            Node(
                nodes.fine_tune,
                inputs=[
                    _TARGET, *_ROWS, "target.image_store", *_ENCODERS, "frozen_predictions", "params:training",
                    _SETTINGS,
                ],
                outputs="predictions", name="fine_tune", tags="costly",
            ),
            Node(
                nodes.retrieve, inputs=[_TARGET, *_ROWS, "embeddings", *_ENCODERS, _SETTINGS],
                outputs="retrieved", name="retrieve", tags="costly",
            ),
            Node(
                nodes.measure, inputs=[_TARGET, "predictions", "low_shot", "retrieved", "params:features", _SETTINGS],
                outputs=["results", "differences"], name="measure", tags="costly",
            ),
            Node(
                audits.test_robustness,
                inputs=[
                    _TARGET, "target.lesions", *_ROWS, "embeddings", *_ENCODERS, "target.encodings",
                    "params:features", _SETTINGS,
                ],
                outputs="robustness", name="test_robustness", tags="costly",
            ),
            Node(
                audits.audit, inputs=[_TARGET, "target.lesions", _SETTINGS],
                outputs="missingness", name="audit_missingness", tags="costly",
            ),
            Node(
                audits.find_seen_pictures,
                inputs=[
                    "params:source.cohort", _TARGET, "source.lesions", "source.image_store", "training_rows",
                    "evaluation_rows", "target.image_store", "params:features",
                ],
                outputs="seen_pictures", name="find_seen_pictures",
            ),
            Node(
                audits.group,
                inputs=[_TARGET, "predictions", "target.lesions", "target.patients", "target.splits", _SETTINGS],
                outputs="subgroups", name="measure_subgroups", tags="costly",
            ),
            Node(
                audits.find_known_truth, inputs=[_TARGET, *_ROWS, "embeddings", *_ENCODERS, _SETTINGS],
                outputs="known_truth", name="find_known_truth", tags="costly",
            ),
            Node(
                explanations.weigh_fields,
                inputs=[
                    _TARGET, "target.lesions", *_ROWS, "embeddings", *_ENCODERS, "target.encodings",
                    "params:features", _SETTINGS,
                ],
                outputs="importance", name="weigh_fields", tags="costly",
            ),
            Node(
                explanations.control, inputs=[_TARGET, *_ROWS, "embeddings", "params:features", _SETTINGS],
                outputs="controls", name="control_metadata", tags="costly",
            ),
            Node(
                explanations.look_closer,
                inputs=[_TARGET, *_ROWS, "target.image_store", "embeddings", *_ENCODERS, _SETTINGS],
                outputs=["phenotypes", "ugly_ducklings", "found_pairs", "saliency", "saliency_maps"],
                name="look_closer", tags="costly",
            ),
            Node(
                explanations.count_leaks,
                inputs=[
                    "params:source.cohort", _TARGET, "training_rows", "adaptation_rows", "target.splits",
                    "target.duplicates", "seen_pictures",
                ],
                outputs="leaks", name="count_leaks",
            ),
            Node(
                drawing.draw_results,
                inputs=[
                    *_ROWS, "embeddings", "results", "predictions", "robustness", "importance", "phenotypes", _SETTINGS,
                ],
                outputs=[
                    "results_figure", "roc_figure", "precision_recall_figure", "confusion_figure",
                    "reliability_figure", "low_shot_figure", "robustness_figure", "embedding_map", "importance_figure",
                    "phenotype_map",
                ],
                name="draw_results", tags="costly",
            ),
        ]
    )  # fmt: skip
