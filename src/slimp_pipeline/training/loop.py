"""The pre-training loop."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from slimp_pipeline.images.decode import DecodedImages, keep_freed_memory
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.losses.nested import NestedLoss
from slimp_pipeline.models.image import is_convolutional
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training.checkpoint import (
    RunningState,
    load_running,
    pack_state,
    save_running,
    unpack_state,
)
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.device import pick_device
from slimp_pipeline.training.sampler import PatientBatches
from slimp_pipeline.training.step import TrainingStep, build_optimizer
from slimp_pipeline.training.validation import HeldOut, draw_validation, validate

Report = Callable[[int, dict[str, float]], None]
logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """What a run has seen so far; plain values, saved with every running checkpoint."""

    history: list[dict[str, Any]] = field(default_factory=list)  # step, epoch, name, value
    best_loss: float = math.inf
    best_epoch: int = -1
    stopped: bool = False


def train(
    model: SLIMP,
    store: ImageStore,
    training: PatientLesions,
    validation: PatientLesions | None,
    settings: TrainingParams,
    image_size: int,
    report: Report,
    running: Path | None,
    label: str = "train",
) -> tuple[dict[str, Tensor], Progress]:
    """Train the nested model, or go on where a killed run with the same key stopped.

    Args:
        model: The model with its first weights; changed in place.
        store: The image store.
        training: Lesions of training patients.
        validation: Lesions of held-out patients, measured after every epoch; None: nothing is measured.
        settings: Optimiser, schedule, sampler, augmentation, loss.
        image_size: Side of the views in pixels.
        report: Called with (step, values) as the run goes.
        running: Folder of the running checkpoint; None: none is kept.
        label: Name on the progress bar.

    Returns:
        The final weights (with early stopping: those of the best epoch), on the CPU, and the progress.
    """
    keep_freed_memory()
    device = pick_device(settings.device)
    batches = PatientBatches(training.patient_N, training.malignant_N, settings.sampler, settings.seed)
    model = model.to(device)
    if is_convolutional(model.image_encoder):
        model.image_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(model, settings)
    step, progress, best = _resume(running, model, optimizer)
    num_steps = batches.num_batches * settings.num_epochs
    step_fn = TrainingStep(model, optimizer, training, settings, image_size, device, num_steps)
    held_out = draw_validation(store, validation, settings, image_size) if validation else None
    bar = tqdm(
        total=batches.lesions_per_epoch * settings.num_epochs,
        initial=step * batches.lesions_per_epoch // batches.num_batches,
        desc=label,
        unit="img",
        leave=False,
        disable=None,
    )
    loader = _loader(store, image_size, training, batches, settings, step)
    started, images_seen = time.perf_counter(), 0
    for rows, (canvas, side) in loader:
        if progress.stopped:
            break
        loss, grad_norm, rate = step_fn(step, rows, canvas, side)
        step += 1
        images_seen += len(rows)
        bar.update(len(rows))
        _note(
            progress,
            report,
            step,
            batches,
            loss,
            grad_norm,
            rate,
            images_seen / (time.perf_counter() - started),
        )
        if step % batches.num_batches == 0 and held_out is not None:
            best = _after_epoch(model, held_out, settings, step, batches, progress, report, best, device)
            bar.set_postfix(loss=f"{loss.total:.3f}", val=f"{_last(progress, 'validation_loss'):.3f}")
        if running and (step % settings.checkpoint_every_steps == 0 or step == num_steps or progress.stopped):
            save_running(running, RunningState(step, pack_state(model, optimizer, best), vars(progress)))
    bar.close()
    final = best if best is not None and settings.patience_epochs else model.state_dict()
    return {name: value.detach().cpu().clone() for name, value in final.items()}, progress


class _StepBatches(Sampler[list[int]]):
    """Store rows of every step to come; remembers the lesion rows, which workers don't need."""

    def __init__(self, batches: PatientBatches, data: PatientLesions, start: int, num_epochs: int) -> None:
        self.batches, self.data, self.start, self.num_epochs = batches, data, start, num_epochs

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.batches.steps(self.start, self.num_epochs):
            yield self.data.store_index_N[rows].tolist()


def _loader(
    store: ImageStore,
    image_size: int,
    data: PatientLesions,
    batches: PatientBatches,
    settings: TrainingParams,
    start: int,
) -> Iterator[tuple[np.ndarray, tuple[Tensor, Tensor]]]:
    if start >= batches.num_batches * settings.num_epochs:
        return iter(())
    loader = DataLoader(
        DecodedImages(store, image_size),
        batch_sampler=_StepBatches(batches, data, start, settings.num_epochs),
        collate_fn=_as_is,
        num_workers=settings.num_workers,
        pin_memory=pick_device(settings.device).type == "cuda",
        prefetch_factor=4 if settings.num_workers else None,
    )
    return zip(batches.steps(start, settings.num_epochs), loader, strict=True)


def _as_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


def _resume(
    running: Path | None, model: SLIMP, optimizer: torch.optim.Optimizer
) -> tuple[int, Progress, dict[str, Tensor] | None]:
    state = load_running(running) if running else None
    if state is None:
        return 0, Progress(), None
    best = unpack_state(state.tensors, model, optimizer)
    logger.info("Going on from step %d of a run with the same settings and data", state.step)
    return state.step, Progress(**state.progress), best


def _after_epoch(
    model: SLIMP,
    held_out: HeldOut,
    settings: TrainingParams,
    step: int,
    batches: PatientBatches,
    progress: Progress,
    report: Report,
    best: dict[str, Tensor] | None,
    device: torch.device,
) -> dict[str, Tensor] | None:
    epoch = step // batches.num_batches
    values = validate(model, held_out, settings, device)
    progress.history += [{"step": step, "epoch": epoch, "name": k, "value": v} for k, v in values.items()]
    report(step, values)
    if values["validation_loss"] < progress.best_loss:
        progress.best_loss, progress.best_epoch = values["validation_loss"], epoch
        if settings.patience_epochs:
            best = copy.deepcopy(model.state_dict())
    if settings.patience_epochs and epoch - progress.best_epoch >= settings.patience_epochs:
        progress.stopped = True
    return best


def _note(
    progress: Progress,
    report: Report,
    step: int,
    batches: PatientBatches,
    loss: NestedLoss,
    grad_norm: float,
    rate: float,
    images_per_s: float,
) -> None:
    values = {
        "loss": float(loss.total.detach()),
        "loss_lesion": float(loss.lesion.detach()),
        "loss_patient": float(loss.patient.detach()),
        "learning_rate": rate,
        "grad_norm": grad_norm,
    }
    epoch = (step - 1) // batches.num_batches + 1
    progress.history += [{"step": step, "epoch": epoch, "name": k, "value": v} for k, v in values.items()]
    if step % max(1, batches.num_batches // 4) == 0:  # a few points an epoch: writing them costs time
        report(step, values | {"images_per_s": images_per_s})


def _last(progress: Progress, name: str) -> float:
    return next((entry["value"] for entry in reversed(progress.history) if entry["name"] == name), math.nan)
