"""What is measured on a target cohort."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from slimp_pipeline.parameters.block import Block, Device, Share


class ExtrapolationParams(Block):
    """Metadata borrowed from the nearest reference lesions."""

    num_neighbours: int = Field(1, ge=1)  # 1: the nearest lends its row; more: a softmax over their similarities
    temperature: float = Field(0.05, gt=0)  # of that softmax
    rows_per_chunk: int = Field(65536, ge=1)  # of the reference, compared at once
    coverages: list[Share] = [0.1, 0.25, 0.5, 0.75, 1.0]  # quality where only the nearest share is trusted
    num_shown: int = Field(6, ge=0)  # best and worst cases on the page


class ProbeParams(Block):
    """Linear probe and k-NN on frozen embeddings."""

    strengths: list[float] = [0.001, 0.01, 0.1, 1.0, 10.0]  # inverse L2 penalty, chosen by inner folds
    num_inner_folds: int = Field(5, ge=2)
    max_choice_rows: int | None = Field(
        50_000, ge=100
    )  # of inner folds: where training rows are more, so many are drawn
    num_neighbours: int = Field(11, ge=1)
    for_macro_f1: bool = False  # also with class weights chosen for macro-F1 by inner folds: `linear_probe_f1`
    max_voters: int | None = Field(20_000, ge=1)  # of k-NN: where training rows are more, so many are drawn


class LowShotParams(Block):
    """Probes trained on few rows; their strength is fixed, since so few rows can't choose one."""

    shots_per_class: list[int] = [1, 5, 10, 20]
    patient_shares: list[Share] = [0.01, 0.05, 0.1, 0.25, 1.0]
    num_draws: int = Field(5, ge=1)
    strength: float = Field(10.0, gt=0)


class RetrievalParams(Block):
    """How many results of a query count."""

    ks: list[int] = [1, 5, 10]
    max_queries: int | None = Field(2000, ge=1)  # of a fold: where test rows are more, so many are drawn
    num_shown: int = Field(3, ge=0)  # results of a query that are kept to be looked at


class FineTuningParams(Block):
    """Supervised training of the image encoder, stopped early by patients held out of the training patients."""

    num_epochs: int = Field(20, ge=1)
    learning_rate: float = Field(1e-3, gt=0)  # of the classifier
    image_learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    batch_size: int = Field(32, ge=2)
    validation_share: float = Field(0.15, gt=0, le=0.5)  # of the training patients
    patience_epochs: int = Field(5, ge=1)


class RobustnessParams(Block):
    """Metadata of test rows dropped or corrupted."""

    shares: list[Share] = [0.0, 0.1, 0.3, 0.5, 0.7]
    num_draws: int = Field(3, ge=1)


class ImportanceParams(Block):
    """Importance of fields: each one permuted on test rows, several times."""

    num_draws: int = Field(3, ge=0)  # of each field; 0: off


class ControlParams(Block):
    """Metadata shuffled between patients, training and test alike."""

    num_draws: int = Field(2, ge=0)  # 0: off


class SaliencyParams(Block):
    """Which pixels a prediction rests on, by integrated gradients of the image encoder."""

    num_pictures: int = Field(4, ge=0)  # 0: off
    num_steps: int = Field(32, ge=2)  # from the baseline to the picture


class SubgroupParams(Block):
    """Groups of patients that results are given for apart; fields that a cohort lacks are left out."""

    fields: list[str] = ["sex", "age_years", "fitzpatrick", "skin_tone", "site", "site_id"]
    age_edges: list[float] = [40.0, 60.0, 75.0]  # bounds between age bands, in years
    min_patients: int = Field(20, ge=1)  # smaller groups are named, without figures
    min_patients_per_class: int = Field(5, ge=0)  # malignant and benign: of fewer an interval covers far too little


FeatureSet = Literal["image", "image+lesion", "image+lesion+patient", "image+metadata", "image+ugly_duckling"]
Protocol = Literal["linear_probe", "knn", "baselines", "low_shot", "retrieval", "robustness", "fine_tuning"]
Unit = Literal["image", "lesion", "patient"]


class EvaluationParams(Block):
    """What is measured on the target cohort, and how sure it is."""

    seed: int = 0
    device: Device = "auto"
    batch_size: int = Field(64, ge=1)
    num_workers: int = Field(1, ge=0)
    label: Literal["diagnosis", "malignant"] = "diagnosis"
    unit: Unit = "image"  # whose scores are measured: of a lesion's or a patient's pictures they are pooled
    protocols: list[Protocol] = ["linear_probe", "knn", "baselines", "low_shot", "retrieval", "robustness"]
    features: list[FeatureSet] = list(get_args(FeatureSet))  # of probes and k-NN
    probe: ProbeParams = ProbeParams()
    low_shot: LowShotParams = LowShotParams()
    retrieval: RetrievalParams = RetrievalParams()
    robustness: RobustnessParams = RobustnessParams()
    fine_tuning: FineTuningParams = FineTuningParams()
    subgroups: SubgroupParams = SubgroupParams()
    importance: ImportanceParams = ImportanceParams()
    controls: ControlParams = ControlParams()
    field_reading: bool = (
        False  # how well each field is read from images, and what it adds: takes as long as the probes
    )
    saliency: SaliencyParams = SaliencyParams()
    num_resamples: int = Field(1000, ge=10)  # bootstrap over patients
    confidence: float = Field(0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _something_is_measured(self) -> "EvaluationParams":
        if not {"linear_probe", "knn", "baselines"} & set(self.protocols):
            raise ValueError("protocols: one of linear_probe, knn and baselines is needed")
        return self

    @model_validator(mode="after")
    def _unit_has_a_label(self) -> "EvaluationParams":
        if self.unit == "patient" and self.label == "diagnosis":
            raise ValueError(
                "unit: a patient's lesions differ in diagnosis. Measure patients by label: malignant, or lesions"
            )
        return self

    def result_name(self, cohort: str) -> str:
        """Name of a cohort in results; the unit is part of it, but for pictures."""
        return cohort if self.unit == "image" else f"{cohort} (by {self.unit})"


class InspectionParams(Block):
    """Suspects among a cohort's pictures, for a person to look at."""

    encoder: Literal["auto", "pretrained", "initial"] = "auto"  # auto: pretrained where there are any
    num_neighbours: int = Field(30, ge=1)  # of each picture, by embedding: so many alike don't hide one another
    min_deviations: float = Field(4.0, gt=0)  # from the cohort's median, beyond which a picture stands out
    max_suspects: int = Field(200, ge=1)  # of each kind, in the table
    max_page_mb: float = Field(10.0, ge=1, le=10)  # of the page, in 10^6 bytes
