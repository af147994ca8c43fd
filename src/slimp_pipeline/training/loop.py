"""The pre-training loop."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.ranks import ALONE, Ranks
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.processes.stopping import stop_if_asked
from slimp_pipeline.processes.whole import held
from slimp_pipeline.training.cohort_batches import batches_of
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.device import pick_device, require_devices
from slimp_pipeline.training.devices import on_devices
from slimp_pipeline.training.memory import take_or_say_what_fits
from slimp_pipeline.training.prefetch import on_device
from slimp_pipeline.training.run import Course, Judge, Report, Run
from slimp_pipeline.training.sampler import Batches, own_part
from slimp_pipeline.training.step import TrainingStep
from slimp_pipeline.training.validation import draw_validation, validate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is trained on what; the same in every process that takes part.

    Attributes:
        model: The model with its first weights; changed in place.
        store: The image store.
        training: Lesions of training patients.
        validation: Lesions of held-out patients, measured after every epoch; None: nothing is measured.
        settings: Devices, optimiser, schedule, sampler, augmentation, loss.
        image_size: Side of the views in pixels.
        running: Folder of the running checkpoint; None: none is kept.
        label: Name on the progress bar.
        judge: Also measures the model after every epoch; None: nobody does.
    """

    model: SLIMP
    store: ImageStore
    training: PatientLesions
    validation: PatientLesions | None
    settings: TrainingParams
    image_size: int
    running: Path | None
    label: str
    judge: Judge | None = None


def train(task: Task, report: Report) -> tuple[dict[str, Tensor], Course]:
    """Train the nested model, or go on where a killed run with the same key stopped.

    Args:
        task: What is trained on what; with several devices its model is left as it is.
        report: Called with (step, values) as the run goes.

    Returns:
        The final weights (with early stopping: those of the best epoch), on the CPU, and how the run went.

    Raises:
        ValueError: If there are fewer than two training patients, or the devices aren't there or are too many for a
            batch's patients, or a batch doesn't fit into their memory.
        FloatingPointError: If a gradient isn't finite; names the step and its images.
        ChildProcessError: If one of several devices' processes ended without a word.
    """
    settings, data, running = task.settings, task.training, task.running
    require_devices(settings)
    batches = batches_of(data, settings.sampler, settings.seed)
    if batches.fewest_patients < settings.devices:
        raise ValueError(
            f"training.devices {settings.devices}: there are batches of {batches.fewest_patients} patients, and a "
            "patient's lesions stay on one device. Take fewer devices, or more patients a batch "
            "(training.sampler.patients_per_batch)."
        )
    work = partial(take_part, task)
    # A second run with the same key waits, and then finds this one's last checkpoint.
    locked = held(running.with_name(f".{running.name}.lock"), f"training ({task.label})") if running else nullcontext()
    with locked:
        if settings.launcher == "ray":
            from slimp_pipeline.training.ray_cluster import on_ray  # an extra

            return on_ray(work, settings, report, running)
        return work(ALONE, report) if settings.devices == 1 else on_devices(work, settings, report)


def take_part(task: Task, ranks: Ranks, report: Report) -> tuple[dict[str, Tensor], Course]:
    """Take every step that is left, alone or as one of several processes, and return what `train` does.

    The first process measures, reports and keeps; the others compute.
    """
    keep_freed_memory()
    model, settings, training, image_size = task.model, task.settings, task.training, task.image_size
    device = pick_device(settings.device)
    batches = batches_of(training, settings.sampler, settings.seed)
    held_out = (
        draw_validation(task.store, task.validation.to(device), settings, image_size)
        if task.validation and ranks.leads
        else None
    )
    judge = task.judge if ranks.leads else None
    run = Run(model.to(device), settings, batches, report, task.running, keeps=ranks.leads, judge=judge)
    if ranks.sum(torch.tensor(run.step, device=device)) != ranks.count * run.step:
        raise ValueError(f"the processes of the training don't all see {task.running}: put `data` where all do")
    take_step = TrainingStep(
        model, run.optimizer, training.to(device), settings, image_size, device, run.num_steps, ranks
    )
    if not run.is_over:
        logger.info("%s: %s", task.label, run.length)
    with _progress_bar(task.label, batches, run, ranks) as bar:
        try:
            for rows, (canvas_B3SS, side_px_B) in _inputs(task, batches, run, ranks):
                with run.one_step():
                    values = take_or_say_what_fits(take_step, run.step, rows, canvas_B3SS, side_px_B, image_size)
                    run.note_step(values, training.image_id_N[rows])
                    bar.update(len(rows))
                    if held_out and run.epoch_is_over:
                        measured = validate(model, held_out, settings, device)
                        run.note_validation(measured)
                        bar.set_postfix(loss=f"{float(values['loss']):.3f}", val=f"{measured['validation_loss']:.3f}")
                    if settings.patience_epochs and task.validation and run.epoch_is_over:
                        stopped = ranks.sum(torch.tensor(int(run.progress.stopped), device=device))
                        run.progress.stopped = bool(stopped)  # the first process knows
                run.be_judged_if_due()
                run.keep_if_due()
                if run.is_over:
                    break
                stop_if_asked()
        except BaseException:  # a signal, or an input worker that ended; what the step itself broke isn't kept
            run.keep_if_stopped()
            raise
    return run.weights(), run.course


def _inputs(task: Task, batches: Batches, run: Run, ranks: Ranks) -> Iterator[tuple[np.ndarray, tuple[Tensor, Tensor]]]:
    """Lesion rows of every step to come, and the images of this process's part of them, on its device."""
    if run.is_over:
        return iter(())
    settings, data = run.settings, task.training
    store_rows = (
        data.store_index_N[rows[own_part(data.patient_N[rows], ranks.rank, ranks.count)]].tolist()
        for rows in batches.steps(run.step, run.num_steps)
    )
    device = pick_device(settings.device)
    pinned = device.type == "cuda"
    images = decoded_batches(task.store, task.image_size, store_rows, settings.num_workers, pin_memory=pinned)
    return zip(batches.steps(run.step, run.num_steps), on_device(images, device), strict=True)


def _progress_bar(label: str, batches: Batches, run: Run, ranks: Ranks) -> tqdm:
    return tqdm(
        total=round(batches.images_per_epoch * run.num_steps / batches.num_batches),
        initial=run.step * batches.images_per_epoch // batches.num_batches,
        desc=label,
        unit="img",
        leave=False,
        disable=None if ranks.leads else True,
    )
