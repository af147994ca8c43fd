"""How encoders are pre-trained, and adapted."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slimp_pipeline.parameters.block import Block, Device, Share

Objective = Literal["slimp", "slimp_paper", "flat", "inner_only", "outer_only", "simclr"]


class LossParams(Block):
    """What pre-training minimises.

    Nested objectives: L = lesion_weight * L_lesion + (1 - lesion_weight) * L_patient; with three levels
    image_weight * L_image + (1 - image_weight) * L. `slimp` takes rows with the anchor's metadata as positives,
    `slimp_paper` as negatives.
    """

    objective: Objective = "slimp"
    lesion_weight: Share = 0.5
    image_weight: Share = 1 / 3  # of the image level; read where the cohort has fields of it
    temperature: float = Field(0.07, gt=0)
    min_temperature: float = Field(0.01, gt=0)
    reconstruction_weight: float = Field(0.0, ge=0)  # of hidden metadata fields, added to any objective; 0: off
    views_weight: float = Field(0.0, ge=0)  # of image views (SimCLR), added to an objective with metadata; 0: off
    nuisance_weight: float = Field(0.0, ge=0)  # of the share of image embeddings that nuisance fields explain; 0: off

    @model_validator(mode="after")
    def _views_are_beside_something(self) -> "LossParams":
        if self.views_weight and self.objective == "simclr":
            raise ValueError("views_weight adds image views to another objective; simclr is nothing but these: set 0")
        return self


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
    """A batch is `patients_per_batch` patients with up to `lesions_per_patient` lesions each.

    With three levels a lesion comes with up to `images_per_lesion` pictures; else each picture is a lesion.
    """

    patients_per_batch: int = Field(64, ge=2)
    lesions_per_patient: int = Field(8, ge=1)
    images_per_lesion: int = Field(4, ge=1)
    malignant_first_share: Share = 0.0  # of the lesions drawn; 0 switches positive sampling off
    epoch: Literal["patients", "lesions"] = "patients"  # an epoch draws every patient once, or every lesion
    cohort_weights: dict[str, Annotated[float, Field(gt=0)]] = {}  # of several cohorts: how often an epoch draws each
    mixed_cohorts: bool = False  # batches of several cohorts at once: to show what telling cohorts apart gives away

    @property
    def of_one_cohort(self) -> "SamplerParams":
        """The same without what concerns several cohorts."""
        return self.model_copy(update={"cohort_weights": {}, "mixed_cohorts": False})

    @model_validator(mode="after")
    def _positive_sampling_chooses(self) -> "SamplerParams":
        if self.epoch == "lesions" and self.malignant_first_share:
            raise ValueError(
                "`malignant_first_share` chooses among a patient's lesions, `epoch: lesions` draws them all: set one"
            )
        return self

    @model_validator(mode="after")
    def _weights_have_batches_to_weigh(self) -> "SamplerParams":
        if self.mixed_cohorts and self.cohort_weights:
            raise ValueError(
                "`cohort_weights` weighs batches of one cohort each, `mixed_cohorts` has none of these: set one"
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
    shuffled_metadata: bool = False  # a control: every patient has another's metadata, of the same site where known
    validation_share: Share = 0.1  # of the training patients of each cohort
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
