"""Settings of every pipeline: one frozen model per block of `conf/<env>/parameters_*.yml`.

A misspelt or unknown setting of any block is refused by name when a run starts, before any work is done.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from slimp_pipeline.architecture import PlainArguments, TimmName

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Device = Literal["auto", "cpu", "cuda", "mps"]
Objective = Literal["slimp", "slimp_paper", "flat", "inner_only", "outer_only", "simclr"]
Pooling = Literal["mean", "max", "gated_attention", "set_transformer"]


class Block(BaseModel):
    """A block of settings: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DownloadParams(Block):
    """How a cohort's files are got, and which images of the ISIC Archive where its YAML doesn't say.

    On the command line, where there are no lists, spaces part the collections.
    """

    archive: str = Field("https://api.isic-archive.com/api/v2", pattern=r"^https?://\S+$")  # its API, or a mirror's
    collections: list[int] = []  # ids; these three instead of what the cohort's YAML asks for
    doi: str | None = None  # of a collection
    search: str | None = None  # in the archive's query language
    max_images: int | None = Field(None, ge=1)  # of the archive, to try it out; None: all
    max_missing_share: Share = 0.0  # of the images that were asked for; above it nothing is put in place
    num_connections: int = Field(8, ge=1, le=64)  # at once
    requests_per_second: float = Field(20.0, gt=0)
    max_tries: int = Field(6, ge=1)  # of each file
    max_wait_s: float = Field(120.0, gt=0)  # before another try, whatever the server asks for
    timeout_s: float = Field(30.0, gt=0)  # without a sign of the server
    max_image_mb: float = Field(256.0, gt=0)  # in 10^6 bytes; larger ones are refused
    spare_disk_gb: float = Field(2.0, ge=0)  # that stays free, in 10^9 bytes

    @field_validator("collections", mode="before")
    @classmethod
    def _parted(cls, collections: Any) -> Any:
        return str(collections).split() if isinstance(collections, str | int) else collections


class IngestParams(Block):
    """How raw images are checked and packed."""

    max_side_px: int = Field(512, ge=16)  # larger images are resized once, when packed
    max_megapixels: float = Field(60.0, gt=0)  # larger images are refused as decompression bombs
    max_file_mb: float = Field(256.0, gt=0)  # of one image's file, in 10^6 bytes; larger ones are refused unread
    max_seconds_per_image: float = Field(20.0, gt=0)  # images whose check takes longer are refused
    jpeg_quality: int = Field(95, ge=50, le=100)
    max_quarantined_share: Share = 0.05  # of table rows; above it the run stops
    num_processes: int = Field(2, ge=1)


class FeatureParams(Block):
    """How patients are split and which fields are encoded."""

    seed: int = 0
    split_level: Literal["patient", "lesion", "image"] = "patient"  # the others leak: to show by how much
    num_folds: int = Field(5, ge=2)
    holdout_share: Share = 0.0  # of patients, in no fold: tested once
    split_file: Path | None = None  # official split: CSV with image_id (or isic_id) and split
    fields: Literal["all", "always_present"] | list[str] = "all"
    max_missing_share: Share = 0.05  # always_present: fields missing in more of the rows are left out
    near_duplicate_bits: int = Field(3, ge=0, le=3)  # Hamming distance of 64-bit perceptual hashes

    @property
    def leaks(self) -> bool:
        """Whether patients stand on both sides of a split."""
        return self.split_level != "patient"

    def result_name(self, cohort: str) -> str:
        """Name of a cohort in results; a split that leaks is part of it."""
        return f"{cohort} (split by {self.split_level}: leaks)" if self.leaks else cohort


class ImageEncoderParams(Block):
    """A timm backbone and where its first weights come from.

    Checkpoints hold these settings too, and may come from anywhere: nothing in them makes timm fetch or read anything.
    """

    name: TimmName = "vit_small_patch16_224"
    image_size: int = Field(224, ge=16)
    weights: str = "random"  # random | hub | path of a safetensors file
    arguments: PlainArguments | None = None  # of the architecture, passed on to timm.create_model
    num_trained_stages: int | None = Field(None, ge=0)  # the last N stages train; None: all
    keep_batch_norm: bool = False  # batch norm goes by the statistics of the first weights, never by the batch's

    @model_validator(mode="after")
    def _kept_statistics_exist(self) -> "ImageEncoderParams":
        if self.keep_batch_norm and self.weights == "random":
            raise ValueError("keep_batch_norm needs first weights that have statistics; `weights` is random")
        return self


class MetadataEncoderParams(Block):
    """Transformer over one token per field (TRACE, arXiv:2411.08701)."""

    dim: int = Field(128, ge=8)
    depth: int = Field(1, ge=0)
    num_heads: int = Field(2, ge=1)
    ffn_ratio: int = Field(4, ge=1)
    field_dropout: float = Field(0.0, ge=0, lt=1)  # of the known fields, hidden at random while training

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> "MetadataEncoderParams":
        if self.dim % self.num_heads:
            raise ValueError(f"dim {self.dim} is not a multiple of num_heads {self.num_heads}")
        return self


class ModelParams(Block):
    """The nested model."""

    image_encoder: ImageEncoderParams = ImageEncoderParams()
    metadata_encoder: MetadataEncoderParams = MetadataEncoderParams()
    pooling: Pooling = "mean"  # of a patient's lesions into its phenotype
    projection_dim: int = Field(128, ge=8)


class LossParams(Block):
    """What pre-training minimises.

    Nested objectives: L = lesion_weight * L_lesion + (1 - lesion_weight) * L_patient. `slimp` takes rows with
    the anchor's metadata as positives, `slimp_paper` as negatives.
    """

    objective: Objective = "slimp"
    lesion_weight: Share = 0.5
    temperature: float = Field(0.07, gt=0)
    min_temperature: float = Field(0.01, gt=0)
    reconstruction_weight: float = Field(0.0, ge=0)  # of hidden metadata fields, added to any objective; 0: off


class AugmentationParams(Block):
    """One affine map and one colour map per image, drawn anew at every step."""

    min_crop_share: Share = 0.5  # of the area
    max_rotation_degrees: float = Field(180.0, ge=0, le=180)
    flip: bool = True
    brightness: float = Field(0.2, ge=0)
    contrast: float = Field(0.2, ge=0)
    saturation: float = Field(0.2, ge=0)
    hue_degrees: float = Field(7.0, ge=0)


class SamplerParams(Block):
    """A batch is `patients_per_batch` patients with up to `lesions_per_patient` lesions each."""

    patients_per_batch: int = Field(64, ge=2)
    lesions_per_patient: int = Field(8, ge=1)
    malignant_first_share: Share = 0.0  # of the lesions drawn; 0 switches positive sampling off
    epoch: Literal["patients", "lesions"] = "patients"  # an epoch draws every patient once, or every lesion

    @model_validator(mode="after")
    def _positive_sampling_chooses(self) -> "SamplerParams":
        if self.epoch == "lesions" and self.malignant_first_share:
            raise ValueError(
                "`malignant_first_share` chooses among a patient's lesions, `epoch: lesions` draws them all: set one"
            )
        return self


# `images_per_pass` isn't one of them: weights would differ by rounding, and with batch norm by its statistics.
# `devices` and `compile` are, although the same holds for them: a run must be able to go on with the devices that are
# free, and where there is no compiler.
CHANGES_NOTHING_LEARNT = frozenset(
    {"devices", "launcher", "compile", "num_workers", "checkpoint_every_steps", "checkpoint_every_minutes"}
)


class TrainingParams(Block):
    """The pre-training run."""

    seed: int = 0
    device: Device = "auto"
    devices: int = Field(1, ge=1)  # that share each batch: a process for each
    launcher: Literal["processes", "ray"] = "processes"  # who starts them: the run, here, or Ray, on a cluster
    num_epochs: int = Field(100, ge=1)  # of the sampler
    num_steps: int | None = Field(None, ge=1)  # the run's length in steps, instead of epochs
    learning_rate: float = Field(5e-4, gt=0)
    image_learning_rate: float | None = Field(None, gt=0)  # None: learning_rate
    weight_decay: float = Field(0.05, ge=0)
    warmup_share: Share = 0.1  # of the steps
    max_grad_norm: float = Field(1.0, gt=0)
    mixed_precision: bool = True  # bfloat16 on CUDA; never on the CPU, where it is slower
    compile: bool | Literal["auto"] = "auto"  # the image encoder; auto: on CUDA
    images_per_pass: int | None = Field(None, ge=1)  # through the image encoder at once; None: the whole batch
    num_workers: int = Field(1, ge=0)  # of each device
    validation_share: Share = 0.1  # of the training patients
    patience_epochs: int | None = Field(None, ge=1)  # early stop on validation loss; None: off
    checkpoint_every_steps: int = Field(50, ge=1)
    checkpoint_every_minutes: float = Field(3, gt=0)  # whichever comes first
    sampler: SamplerParams = SamplerParams()
    augmentation: AugmentationParams = AugmentationParams()
    loss: LossParams = LossParams()


class AdaptationParams(Block):
    """Continual pre-training on the target's training patients; what isn't named here is as in `training`."""

    trained: Literal["none", "embeddings", "last_blocks", "all", "lora"] = "embeddings"
    num_blocks: int = Field(1, ge=1)  # last_blocks: how many
    lora_rank: int = Field(8, ge=1)  # lora: rank of the update of every linear layer of the image encoder
    num_epochs: int = Field(10, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    image_learning_rate: float | None = Field(None, gt=0)  # None: learning_rate


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

    fields: list[str] = ["sex", "age_years", "fitzpatrick", "skin_tone", "site"]
    age_edges: list[float] = [40.0, 60.0, 75.0]  # bounds between age bands, in years
    min_patients: int = Field(20, ge=1)  # smaller groups are named, without figures


FeatureSet = Literal["image", "image+lesion", "image+lesion+patient", "image+metadata", "image+ugly_duckling"]
PictureFormat = Literal["svg", "png"]
Protocol = Literal["linear_probe", "knn", "baselines", "low_shot", "retrieval", "robustness", "fine_tuning"]


class EvaluationParams(Block):
    """What is measured on the target cohort, and how sure it is."""

    seed: int = 0
    device: Device = "auto"
    batch_size: int = Field(64, ge=1)
    num_workers: int = Field(1, ge=0)
    label: Literal["diagnosis", "malignant"] = "diagnosis"
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
    saliency: SaliencyParams = SaliencyParams()
    num_resamples: int = Field(1000, ge=10)  # bootstrap over patients
    confidence: float = Field(0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _something_is_measured(self) -> "EvaluationParams":
        if not {"linear_probe", "knn", "baselines"} & set(self.protocols):
            raise ValueError("protocols: one of linear_probe, knn and baselines is needed")
        return self


class InspectionParams(Block):
    """Suspects among a cohort's pictures, for a person to look at."""

    encoder: Literal["auto", "pretrained", "initial"] = "auto"  # auto: pretrained where there are any
    num_neighbours: int = Field(30, ge=1)  # of each picture, by embedding: so many alike don't hide one another
    min_deviations: float = Field(4.0, gt=0)  # from the cohort's median, beyond which a picture stands out
    max_suspects: int = Field(200, ge=1)  # of each kind, in the table
    max_page_mb: float = Field(10.0, ge=1, le=10)  # of the page, in 10^6 bytes


class ComparisonParams(Block):
    """Which runs are compared: label -> MLflow run ids, or versions of the predictions, of its seeds in order.

    On the command line, where there are no lists, spaces part the runs of a group.
    """

    groups: dict[str, list[str]] = {}

    @field_validator("groups", mode="before")
    @classmethod
    def _parted(cls, groups: Any) -> Any:
        if not isinstance(groups, dict):
            return groups
        return {label: runs.split() if isinstance(runs, str) else runs for label, runs in groups.items()}


class VariantParams(Block):
    """What sets one variant of a study apart."""

    label: str
    changes: dict[str, Any] = {}  # parameter (dotted, as on the command line) -> value


class StudyParams(Block):
    """A grid of runs: every variant with every seed."""

    seeds: list[int] = Field([0, 1, 2], min_length=1)
    variants: list[VariantParams] = Field(min_length=1)

    @model_validator(mode="after")
    def _labels_differ(self) -> "StudyParams":
        labels = [variant.label for variant in self.variants]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"study.variants: the label {', '.join(twice)} stands twice")
        return self


class ExportParams(Block):
    """What is handed on of an encoder, and to whom."""

    partition: str | None = None  # of the encoders; None: `all`, else the first
    onnx: bool = True
    opset: int = Field(18, ge=18)  # version of ONNX's operators
    unusual_share: Share = 0.01  # of known lesions: those less like the others than this share are what `unusual` means
    registered_as: str | None = None  # name in MLflow's model registry; None: `slimp-<source>`
    alias: str = Field("newest", pattern=r"^[A-Za-z][\w-]*$")  # of this version there
    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")  # user/name; token from HF_TOKEN
    hub_private: bool = True
    hub_known_lesions: bool = False  # also those: embeddings of patients' pictures

    @field_validator("alias")
    @classmethod
    def _is_free(cls, alias: str) -> str:
        if alias.lower() == "latest":
            raise ValueError("MLflow keeps `latest` for itself; take another alias")
        return alias


class EmbeddingParams(Block):
    """One's own pictures, and the exported encoder that embeds them; what is excluded are paths, and not tracked."""

    images: Path | None = Field(None, exclude=True)  # folder, or HDF5 file keyed by image id
    metadata: Path | None = Field(None, exclude=True)  # table with a row for each picture
    encoder: Path | None = Field(None, exclude=True)  # exported folder; None: the newest export
    challenge: Literal["isic2024", "milk10k"] | None = None  # whose submission file is written
    sample: Path | None = Field(None, exclude=True)  # the challenge's sample file, which says rows and their order
    image_column: str = "image_id"  # of the metadata table
    lesion_column: str = "lesion_id"  # likewise; it may be absent
    device: Device = "auto"
    num_nearest: int = Field(5, ge=1)  # known lesions that are named for each picture
    max_refused_share: Share = 0.0  # of the pictures; above it the run ends with an error, all the same with results

    @model_validator(mode="after")
    def _sample_is_of_a_challenge(self) -> "EmbeddingParams":
        if self.sample and not self.challenge:
            raise ValueError("`sample` is the sample file of a challenge: set challenge=isic2024 or challenge=milk10k")
        return self


class ReportParams(Block):
    """What the HTML page shows."""

    gallery_size: int = Field(6, ge=0)  # queries; 0: none
    num_patients: int = Field(3, ge=0)  # whose lesions are shown together: those with the most
    max_lesions: int = Field(24, ge=2)  # of such a patient
    show_ids: bool = False  # ids of the cohort on the page
    salt: Path = Path("data/pseudonym_salt")  # the secret behind pseudonyms, made when it is needed
    max_page_mb: float = Field(
        10.0, ge=6, le=10
    )  # in 10^6 bytes; beyond it pictures are left out, and the page says so
    picture_formats: list[PictureFormat] = ["svg", "png"]  # of every figure, drawn by Chrome or Chromium


class PruneParams(Block):
    """Which artifacts of earlier runs stay."""

    keep: int = Field(5, ge=1)  # last versions of every artifact; what they rest on stays, too
    remove: bool = False  # False: say what would be removed


BLOCKS: dict[str, type[Block]] = {
    "download": DownloadParams,
    "ingest": IngestParams,
    "features": FeatureParams,
    "model": ModelParams,
    "training": TrainingParams,
    "adaptation": AdaptationParams,
    "extrapolation": ExtrapolationParams,
    "evaluation": EvaluationParams,
    "inspection": InspectionParams,
    "comparison": ComparisonParams,
    "study": StudyParams,
    "export": ExportParams,
    "embedding": EmbeddingParams,
    "report": ReportParams,
    "prune": PruneParams,
}
