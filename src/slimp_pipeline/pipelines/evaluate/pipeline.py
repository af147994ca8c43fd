"""Wiring of `evaluate`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.evaluation.audits.controls import measure_controls
from slimp_pipeline.evaluation.audits.field_reading import measure_reading
from slimp_pipeline.evaluation.audits.importance import measure_importance
from slimp_pipeline.evaluation.audits.robustness import measure_robustness
from slimp_pipeline.evaluation.protocols.retrieval import retrieve
from slimp_pipeline.evaluation.protocols.run import measure_low_shot, predict
from slimp_pipeline.pipelines.evaluate import audits, drawing, explanations, nodes

_TARGET, _SETTINGS = "params:target.cohort", "params:evaluation"
_ROWS = ["evaluation_rows", "target.splits"]
_ENCODERS = ["encoders", "adapted_encoders"]
_KNOWN = "target_cohort"  # with all that its rows are known by


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
                nodes.know_target,
                inputs=[
                    _TARGET, "target.lesions", *_ROWS, "embeddings", "target.encodings", *_ENCODERS, "params:features",
                    _SETTINGS,
                ],
                outputs=_KNOWN, name="know_target",
            ),
            Node(predict, inputs=[_KNOWN, _SETTINGS], outputs="frozen_predictions", name="predict", tags="costly"),
            Node(
                measure_low_shot, inputs=[_KNOWN, _SETTINGS], outputs="low_shot", name="learn_from_few", tags="costly",
            ),
            Node(
                nodes.fine_tune,
                inputs=[_KNOWN, "target.image_store", "frozen_predictions", "params:training", _SETTINGS],
                outputs="predictions", name="fine_tune", tags="costly",
            ),
            Node(retrieve, inputs=[_KNOWN, _SETTINGS], outputs="retrieved", name="retrieve", tags="costly"),
            Node(
                nodes.measure, inputs=[_KNOWN, "predictions", "low_shot", "retrieved", _SETTINGS],
                outputs=["results", "differences"], name="measure", tags="costly",
            ),
            Node(
                measure_robustness, inputs=[_KNOWN, _SETTINGS],
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
                audits.find_known_truth, inputs=[_TARGET, _KNOWN, _SETTINGS],
                outputs="known_truth", name="find_known_truth", tags="costly",
            ),
            Node(
                measure_importance, inputs=[_KNOWN, _SETTINGS],
                outputs="importance", name="weigh_fields", tags="costly",
            ),
            Node(
                measure_reading, inputs=[_KNOWN, _SETTINGS],
                outputs="field_reading", name="read_fields", tags="costly",
            ),
            Node(
                measure_controls, inputs=[_KNOWN, _SETTINGS],
                outputs="controls", name="control_metadata", tags="costly",
            ),
            Node(
                explanations.look_closer,
                inputs=[_KNOWN, "target.image_store", _SETTINGS],
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
                inputs=[_KNOWN, "results", "predictions", "robustness", "importance", "phenotypes", _SETTINGS],
                outputs=[
                    "results_figure", "roc_figure", "precision_recall_figure", "confusion_figure",
                    "reliability_figure", "low_shot_figure", "robustness_figure", "embedding_map", "importance_figure",
                    "phenotype_map",
                ],
                name="draw_results", tags="costly",
            ),
        ]
    )  # fmt: skip
