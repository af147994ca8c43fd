"""An exported model: one folder that holds all that others need, and nothing that runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.features.embed import block
from slimp_pipeline.evaluation.measures.records import summary_draw
from slimp_pipeline.evaluation.task import has_two_classes, make_task
from slimp_pipeline.handover.classifier import CLASSIFIER_FILES, Classifier
from slimp_pipeline.handover.known import KNOWN_FILES, KnownLesions
from slimp_pipeline.handover.onnx_models import ONNX_FILES, export_onnx, write_onnx
from slimp_pipeline.models.checkpoint import CARD, CHECKPOINT_FILES, Checkpoint, write_checkpoint
from slimp_pipeline.models.fingerprint import FINGERPRINT_FILES, write_fingerprint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams, ExportParams
from slimp_pipeline.tables.splits import ALL

EXPORT_FILES = {*CHECKPOINT_FILES, *FINGERPRINT_FILES, *ONNX_FILES, *KNOWN_FILES, *CLASSIFIER_FILES}
_SHOWN = ("balanced_accuracy", "macro_auroc")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left that rests on the encoders which are exported.

    Attributes:
        cohort: Its target.
        rows: Rows that were embedded, sorted by image_id.
        splits: image_id, patient_id, split, fold.
        embeddings: `<method>.<partition>.<block>` -> (len(rows), D).
        results: The results table.
    """

    cohort: str
    rows: pd.DataFrame
    splits: pd.DataFrame
    embeddings: Mapping[str, np.ndarray]
    results: pd.DataFrame


@dataclass(frozen=True)
class Exported:
    """What an export folder holds."""

    checkpoint: Checkpoint
    onnx: dict[str, bytes] = field(default_factory=dict)
    known: KnownLesions | None = None
    classifier: Classifier | None = None
    results: pd.DataFrame | None = None

    def write(self, folder: Path) -> None:
        """Write into an empty folder: checkpoint, fingerprint, ONNX models, known lesions, classifier, model card."""
        write_checkpoint(self.checkpoint, folder)
        write_fingerprint(PretrainedSLIMP(self.checkpoint), folder)
        write_onnx(self.onnx, folder)
        for part in (self.known, self.classifier):
            if part:
                part.write(folder)
        with (folder / CARD).open("a", encoding="utf-8") as card:
            card.write(self._more_of_the_card())

    def _more_of_the_card(self) -> str:
        parts = []
        if self.results is not None:
            parts.append(_results_in_markdown(self.results))
        if self.onnx:
            files = ", ".join(f"`{name}`" for name in self.onnx)
            parts.append(
                f"## ONNX\n\n{files}: any number of rows, float32; equal to the original when they were written. "
                "Images are RGB in [0, 1].\n"
            )
        if self.classifier:
            told = f"`{self.classifier.cohort}`, {self.classifier.num_patients} patients"
            parts.append(
                f"## Classifier\n\nA calibrated linear probe of {told}: {', '.join(self.classifier.classes)}. "
                "It knows no other diagnosis, and gives each picture one of these.\n"
            )
        return "".join(f"\n{part}" for part in parts)


def export(
    encoders: Mapping[str, Checkpoint],
    seen: pd.DataFrame,
    evaluated: Evaluated | None,
    evaluation: EvaluationParams,
    settings: ExportParams,
) -> Exported:
    """Gather what is handed on of one encoder.

    Known lesions and classifier are of patients whom its pre-training didn't see: embeddings of the others are nearer
    to their metadata than new ones will be.

    Args:
        encoders: Partition -> checkpoint.
        seen: Patients of the evaluation's target whom a pre-training saw, by its ids: partition, patient_id.
        evaluated: Where an evaluation rests on these encoders.
        evaluation: Its settings.
        settings: Which encoder, and what of it.

    Raises:
        ValueError: If there is no such partition, or an ONNX model isn't equal to the original.
    """
    name = _partition(encoders, settings.partition)
    checkpoint = encoders[name]
    onnx = export_onnx(PretrainedSLIMP(checkpoint), settings.opset) if settings.onnx else {}
    if evaluated is None:
        return Exported(checkpoint, onnx)
    image_ND = block(evaluated.embeddings, checkpoint.loss.objective, name, "image")
    rows = evaluated.rows
    new_N = ~rows["patient_id"].isin(seen.loc[seen["partition"] == name, "patient_id"]).to_numpy()
    if image_ND is None or not has_two_classes(rows[new_N], evaluation):
        return Exported(checkpoint, onnx, results=evaluated.results)
    task = make_task(rows[new_N].reset_index(drop=True), evaluated.splits, evaluation)
    image_ND = image_ND[new_N][task.labelled_M]
    labels = [task.classes[k] for k in task.label_N]
    known = KnownLesions.fit(
        evaluated.cohort, image_ND, labels, task.rows["patient_id"].tolist(), settings.unusual_share, evaluation.seed
    )
    classifier = Classifier.fit(evaluated.cohort, task, image_ND, evaluation)
    return Exported(checkpoint, onnx, known, classifier, evaluated.results)


def _partition(encoders: Mapping[str, Checkpoint], asked: str | None) -> str:
    name = asked or (ALL if ALL in encoders else min(encoders))
    if name not in encoders:
        raise ValueError(f"export.partition: there is no encoder '{name}'. There are: {', '.join(sorted(encoders))}")
    return name


def _results_in_markdown(results: pd.DataFrame) -> str:
    rows = results[
        (results["draw"] == summary_draw(results))
        & (results["protocol"] == "linear_probe")
        & results["metric"].isin(_SHOWN)
    ]
    lines = [
        f"| {row.method} | {row.features} | {row.metric} | {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}] |"
        for row in rows.itertuples()
    ]
    cohort = ", ".join(sorted(set(results["cohort"])))
    told = f"Linear probes on `{cohort}`, patients disjoint from those that trained them, with intervals."
    return (
        f"## Results\n\n{told}\n\n"
        + "| method | features | metric | value |\n| --- | --- | --- | --- |\n"
        + "\n".join(lines)
        + "\n"
    )


def files_of(folder: Path, *, with_known: bool) -> list[Path]:
    """Files of an export folder; known lesions are embeddings of patients' pictures, and stay unless asked for."""
    return sorted(path for path in folder.iterdir() if with_known or path.name not in KNOWN_FILES)


def licence_of(folder: Path) -> str:
    """Licence of the cohort that trained the encoder, as its YAML states it; `?` where it isn't known."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(config["slimp"]["facts"].get("licence", "?"))
