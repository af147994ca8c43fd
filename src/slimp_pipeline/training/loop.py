"""The pre-training loop."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.processes.whole import held
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.device import pick_device
from slimp_pipeline.training.run import Report, Run
from slimp_pipeline.training.sampler import PatientBatches
from slimp_pipeline.training.step import TrainingStep
from slimp_pipeline.training.validation import draw_validation, validate

logger = logging.getLogger(__name__)


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
) -> tuple[dict[str, Tensor], Run]:
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
        The final weights (with early stopping: those of the best epoch), on the CPU, and the run as it ended.

    Raises:
        ValueError: If there are fewer than two training patients, or the device isn't there.
        FloatingPointError: If a gradient isn't finite; names the step and its images.
    """
    keep_freed_memory()
    # A second run with the same key waits, and then finds this one's last checkpoint.
    with held(running.with_name(f".{running.name}.lock"), f"training ({label})") if running else nullcontext():
        device = pick_device(settings.device)
        batches = PatientBatches(training.patient_N, training.malignant_N, settings.sampler, settings.seed)
        held_out = draw_validation(store, validation.to(device), settings, image_size) if validation else None
        run = Run(model.to(device), settings, batches, report, running)
        take_step = TrainingStep(model, run.optimizer, training.to(device), settings, image_size, device, run.num_steps)
        if not run.is_over:
            logger.info("%s: %s", label, run.length)
        with _progress_bar(label, batches, run) as bar:
            try:
                for rows, (canvas_B3SS, side_px_B) in _inputs(store, image_size, training, batches, run):
                    with run.one_step():
                        values = take_step(run.step, rows, canvas_B3SS, side_px_B)
                        run.note_step(values, training.image_id_N[rows])
                        bar.update(len(rows))
                        if held_out and run.epoch_is_over:
                            measured = validate(model, held_out, settings, device)
                            run.note_validation(measured)
                            bar.set_postfix(
                                loss=f"{float(values['loss']):.3f}", val=f"{measured['validation_loss']:.3f}"
                            )
                    run.keep_if_due()
                    if run.is_over:
                        break
            except BaseException:  # a signal, or an input worker that ended; what the step itself broke isn't kept
                run.keep_if_stopped()
                raise
        return run.weights(), run


def _inputs(
    store: ImageStore, image_size: int, data: PatientLesions, batches: PatientBatches, run: Run
) -> Iterator[tuple[np.ndarray, tuple[Tensor, Tensor]]]:
    """Lesion rows and decoded images of every step to come."""
    if run.is_over:
        return iter(())
    settings = run.settings
    store_rows = (data.store_index_N[rows].tolist() for rows in batches.steps(run.step, run.num_steps))
    on_gpu = pick_device(settings.device).type == "cuda"
    images = decoded_batches(store, image_size, store_rows, settings.num_workers, pin_memory=on_gpu)
    return zip(batches.steps(run.step, run.num_steps), images, strict=True)


def _progress_bar(label: str, batches: PatientBatches, run: Run) -> tqdm:
    return tqdm(
        total=round(batches.lesions_per_epoch * run.num_steps / batches.num_batches),
        initial=run.step * batches.lesions_per_epoch // batches.num_batches,
        desc=label,
        unit="img",
        leave=False,
        disable=None,
    )
