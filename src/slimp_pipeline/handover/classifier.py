"""A linear classifier on image embeddings, to be handed on: calibrated, and without the rows that trained it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy.special import softmax

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.measures.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, rescale
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.handover.parts import PartFacts, part_files, read_part, write_part
from slimp_pipeline.models.fingerprint import fingerprint_digest
from slimp_pipeline.parameters import EvaluationParams

PART = "classifier"
CLASSIFIER_FILES = part_files(PART)


class _Facts(PartFacts):
    """What stands beside the weights."""

    cohort: str
    classes: list[str] = Field(min_length=2)
    temperature: float = Field(gt=MIN_TEMPERATURE / 2, lt=2 * MAX_TEMPERATURE)  # fitted between them, but for rounding
    num_patients: int = Field(ge=1)


@dataclass(frozen=True)
class Classifier:
    """The linear probe of the evaluation, trained on all labelled lesions of a cohort.

    Attributes:
        cohort: Whose lesions trained it.
        classes: K names.
        weight_DK: float32, of image embeddings as they come.
        intercept_K: float32.
        temperature: Of the log probabilities, fitted on lesions of patients that were held out.
        num_patients: That trained it.
    """

    cohort: str
    classes: list[str]
    weight_DK: np.ndarray
    intercept_K: np.ndarray
    temperature: float
    num_patients: int

    @classmethod
    def fit(cls, cohort: str, task: Task, image_ND: np.ndarray, settings: EvaluationParams) -> "Classifier":
        """Fit on all rows of a task, as the evaluation's linear probe on images is; strength and temperature by folds
        of patients."""
        everyone_N = np.ones(len(image_ND), dtype=bool)
        scaling = Scaling.fit([image_ND], everyone_N)
        probe = fit_task_probe(task, scaling([image_ND]), everyone_N, settings, calibrated=True)
        model = probe.of_unscaled(scaling).model
        return cls(
            cohort,
            list(task.classes),
            model.weight_BDK[0].cpu().numpy(),
            model.intercept_BK[0].cpu().numpy(),
            probe.temperature,
            task.rows["patient_id"].nunique(),
        )

    def probabilities(self, image_ND: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of the classes, float64 (N, K); rows sum to 1."""
        if not len(image_ND):
            return np.empty((0, len(self.classes)))
        logit_NK = image_ND.astype(np.float64) @ self.weight_DK.astype(np.float64) + self.intercept_K
        return rescale(softmax(logit_NK, axis=1), self.temperature)

    def write(self, folder: Path) -> None:
        """Write into a folder that holds its encoder and the fingerprint of that."""
        facts = _Facts(
            encoder=fingerprint_digest(folder),
            cohort=self.cohort,
            classes=self.classes,
            temperature=self.temperature,
            num_patients=self.num_patients,
        )
        write_part(folder, PART, facts, {"weight": self.weight_DK, "intercept": self.intercept_K})

    @classmethod
    def read(cls, folder: Path) -> "Classifier | None":
        """Read from a folder; None where it holds none.

        Raises:
            ValueError: If a file of it is damaged, or it is of another encoder; says which.
        """
        part = read_part(folder, PART, _Facts, {"weight": 2, "intercept": 1})
        if part is None:
            return None
        facts, arrays = part
        weight_DK, intercept_K = arrays["weight"], arrays["intercept"]
        if not weight_DK.shape[1] == len(intercept_K) == len(facts.classes):
            raise ValueError(f"{folder}: the files {PART}.* are of different classifiers. Copy the folder again")
        return cls(facts.cohort, facts.classes, weight_DK, intercept_K, facts.temperature, facts.num_patients)
