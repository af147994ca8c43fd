"""One optimiser step on one batch of patients."""

import math
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from slimp_pipeline.images.augment import Maps, draw_maps, sample_views
from slimp_pipeline.losses.objective import Contrast
from slimp_pipeline.models.batch import Batch, PictureFields, Share
from slimp_pipeline.models.ranks import ALONE, Ranks
from slimp_pipeline.models.slimp import HEADS, SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training.compilation import compile_encoder, is_compiled
from slimp_pipeline.training.data import PatientLesions, select
from slimp_pipeline.training.device import in_one_copy
from slimp_pipeline.training.sampler import own_part

StepValues = dict[str, Tensor | float]


def build_optimizer(model: SLIMP, settings: TrainingParams) -> torch.optim.AdamW:
    """AdamW; biases, norms, embeddings and temperatures aren't decayed; the backbone has its own rate.

    On CUDA in its fused form: one kernel, which also leaves the weights as they are where the gradient isn't finite.
    Elsewhere in its `foreach` form: the plain form's arithmetic to the last bit, without its Python for each tensor.
    """
    on_cuda = next(model.parameters()).device.type == "cuda"
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decayed = parameter.ndim >= 2 and not any(part in name for part in ("tokenizer", "_token", "pos_embed"))
            groups.setdefault((name.startswith("image_encoder."), decayed), []).append(parameter)
    rates = {True: settings.image_learning_rate or settings.learning_rate, False: settings.learning_rate}
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak_lr": rates[is_image],
                "weight_decay": settings.weight_decay if decayed else 0.0,
            }
            for (is_image, decayed), parameters in groups.items()
        ],
        lr=settings.learning_rate,
        fused=on_cuda,
        foreach=not on_cuda,
    )


def learning_rate_factor(step: int, num_steps: int, warmup_share: float) -> float:
    """Linear warm-up, then a cosine to zero; 0 <= step < num_steps."""
    num_warmup = max(1, round(warmup_share * num_steps))
    if step < num_warmup:
        return (step + 1) / num_warmup
    return 0.5 * (1 + math.cos(math.pi * (step - num_warmup) / max(1, num_steps - num_warmup)))


class TrainingStep:
    """One optimiser step on one batch of patients.

    Args:
        model: The model, on `device`; put into training mode.
        optimizer: As `build_optimizer` makes it.
        data: Lesions of training patients, on `device`.
        settings: Schedule, augmentation, loss, gradient clipping.
        image_size: Side of the views in pixels.
        device: Where it computes.
        num_steps: Of the whole run, for the learning rate.
        ranks: Processes that take the step together: each encodes its part of the batch, and all come to the same
            weights. The gradient is that of one process with the whole batch, but for rounding and for what depends
            on a part: dropout, and batch norm, which goes by the statistics of a part.
    """

    def __init__(
        self,
        model: SLIMP,
        optimizer: torch.optim.Optimizer,
        data: PatientLesions,
        settings: TrainingParams,
        image_size: int,
        device: torch.device,
        num_steps: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model, self.optimizer, self.data = model, optimizer, data
        self.settings, self.device, self.num_steps = settings, device, num_steps
        self.ranks = ranks
        dtype = torch.bfloat16 if _autocasts(settings, device) else torch.float32  # as the backbone takes it
        self._view_format = model.view_format(image_size, dtype)
        self._to_compile = is_compiled(settings, device)
        model.train()
        self._encoders = [value for name, value in model.named_parameters() if not name.startswith(HEADS)]
        self._heads = [value for name, value in model.named_parameters() if name.startswith(HEADS)]
        self._statistics = [
            value
            for layer in model.modules()
            if isinstance(layer, _BatchNorm) and layer.training and layer.track_running_stats
            for value in (layer.running_mean, layer.running_var)
            if value is not None
        ]

    def __call__(self, step: int, rows: np.ndarray, canvas_B3SS: Tensor, side_px_B: Tensor) -> StepValues:
        """Take step number `step` (from 0). On CUDA nothing waits for the device: what is returned is still computed.

        Args:
            step: Sets the learning rate and the seed of views and dropout.
            rows: Lesion rows of the batch, the same in every process.
            canvas_B3SS: Images of this process's part (`sampler.own_part`) as `images.decode` gives them; on the
                device.
            side_px_B: Their sides, likewise.

        Returns:
            Losses in nats (`loss` and its terms), learning rate of the heads, norm of the gradient before clipping;
            tensors of shape (), but for the rate. Where that norm isn't finite, the weights stay as they were.
        """
        factor = learning_rate_factor(step, self.num_steps, self.settings.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        views = self._views(step, rows, canvas_B3SS, side_px_B)
        if self._to_compile:
            with _autocast(self.settings, self.device):
                compile_encoder(self.model.image_encoder, views, self.settings, self.ranks)
            self._to_compile = False
        torch.manual_seed(self._seed(step))
        losses, _ = forward(self.model, self.data, rows, views, self.settings, self.ranks)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self._sum_over_ranks()
        grad_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self._update(torch.isfinite(grad_norm))
        self.model.objective.clamp_temperatures()
        computed = {name: value.detach() for name, value in losses.items()}
        rate = self.settings.learning_rate * factor
        return {**computed, "learning_rate": rate, "grad_norm": grad_norm}

    def _sum_over_ranks(self) -> None:
        """Make of each process's gradient that of the whole batch, and of batch norm's statistics their mean.

        The encoders' gradients are of a part each: they add up. The heads' are of the whole in every process, as are
        statistics: a share of each is added, so that all go on with the same bits.
        """
        if self.ranks.count == 1:
            return
        encoders, heads = (
            [value.grad for value in part if value.grad is not None] for part in (self._encoders, self._heads)
        )
        values = [*encoders, *heads, *self._statistics]
        torch._foreach_div_(values[len(encoders) :], self.ranks.count)
        summed = self.ranks.sum(torch.cat([value.flatten() for value in values]))  # one message
        parts = summed.split([value.numel() for value in values])
        torch._foreach_copy_(values, [part.view_as(value) for part, value in zip(parts, values, strict=True)])

    def _update(self, is_finite: Tensor) -> None:
        if self.optimizer.defaults["fused"]:
            self.optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]  # as torch's GradScaler does
            self.optimizer.step()
        elif is_finite:
            self.optimizer.step()

    def _seed(self, step: int) -> int:
        """By step alone: a resumed run draws the same views and the same dropout."""
        return self.settings.seed * 1_000_003 + step

    def _views(self, step: int, rows: np.ndarray, canvas_B3SS: Tensor, side_px_B: Tensor) -> Tensor:
        # Every process draws for the whole batch, so that a lesion's view doesn't depend on how many share it.
        generator = torch.Generator().manual_seed(self._seed(step))
        own = own_part(self.data.patient_N[rows], self.ranks.rank, self.ranks.count)
        drawn = [
            draw_maps(len(rows), self.settings.augmentation, generator).part(own)
            for _ in range(self.model.objective.num_views)
        ]
        numbers = iter(in_one_copy([values for maps in drawn for values in maps], self.device))
        views = [sample_views(canvas_B3SS, side_px_B, Maps(*islice(numbers, 3)), self._view_format) for _ in drawn]
        return views[0] if len(views) == 1 else torch.cat(views)


def forward(
    model: SLIMP,
    data: PatientLesions,
    rows: np.ndarray,
    views: Tensor,
    settings: TrainingParams,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, Tensor], dict[str, Contrast]]:
    """Losses and contrasts of one batch: image rows, and their views, view by view, where the data are.

    The settings say in which precision, and how many images at once. Where several processes share the batch, rows are
    the whole one's, views are those of the process's own part, and every process gets the losses of the whole.
    """
    batch = _batch(data, rows, views, ranks)
    with _autocast(settings, views.device):
        return model(batch, settings.images_per_pass)


def _batch(data: PatientLesions, rows: np.ndarray, views: Tensor, ranks: Ranks) -> Batch:
    """Fields and groups of image rows; a lesion's rows, and a patient's, stand next to each other."""
    patients, patient_of_image = np.unique(data.patient_N[rows], return_inverse=True)
    lesion_B = data.lesion_N[rows]
    begins_B = np.concatenate([[True], lesion_B[1:] != lesion_B[:-1]])
    lesions, lesion_of_image = lesion_B[begins_B], np.cumsum(begins_B) - 1
    images = own_part(data.patient_N[rows], ranks.rank, ranks.count)
    own_lesions = slice(int(lesion_of_image[images.start]), int(lesion_of_image[images.stop - 1]) + 1)
    own_patients = np.unique(patient_of_image[images])
    numbers = (rows, lesions, patients, lesion_of_image, patient_of_image[begins_B], own_patients)
    rows_B, lesions_K, patients_P, lesion_of_image_B, patient_of_lesion_K, own_p = in_one_copy(
        [torch.from_numpy(values) for values in numbers], views.device
    )
    fields = select(data.image, rows_B)
    return Batch(
        views,
        select(data.lesion, lesions_K),
        select(data.patient, patients_P),
        patient_of_lesion_K,
        data.lesion_group_K[lesions_K],
        data.patient_group_M[patients_P],
        Share(ranks, images, own_lesions, own_p) if ranks.count > 1 else None,
        select(data.nuisance, rows_B),
        PictureFields(fields, data.image_group_N[rows_B], lesion_of_image_B) if fields else None,
    )


def _autocast(settings: TrainingParams, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_autocasts(settings, device))


def _autocasts(settings: TrainingParams, device: torch.device) -> bool:
    return settings.mixed_precision and device.type == "cuda"
