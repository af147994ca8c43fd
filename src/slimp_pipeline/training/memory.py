"""What fits into a device's memory, where a batch doesn't: found by trying, so that it can be told."""

import contextlib
import gc

import numpy as np
import torch
from torch import Tensor

from slimp_pipeline.training.sampler import own_part
from slimp_pipeline.training.step import StepValues, TrainingStep, forward


def take_or_say_what_fits(
    take_step: TrainingStep, step: int, rows: np.ndarray, canvas_B3SS: Tensor, side_px_B: Tensor, image_size: int
) -> StepValues:
    """Take a step; where its batch doesn't fit into the device's memory, try smaller passes and say which one fits.

    Args:
        take_step: The step.
        step: Its number, and the batch, as it takes them.
        rows: Likewise.
        canvas_B3SS: Likewise.
        side_px_B: Likewise.
        image_size: Side of the views in pixels.

    Raises:
        ValueError: If it doesn't fit.
    """
    with contextlib.suppress(torch.OutOfMemoryError):
        return take_step(step, rows, canvas_B3SS, side_px_B)
    raise ValueError(_advice(take_step, rows, image_size))


def _advice(take_step: TrainingStep, rows: np.ndarray, image_size: int) -> str:
    own = rows[own_part(take_step.data.patient_N[rows], take_step.ranks.rank, take_step.ranks.count)]
    num_images = len(own) * take_step.model.objective.num_views
    at_once = min(num_images, take_step.settings.images_per_pass or num_images)
    full = (
        f"{at_once} pictures of {image_size} px at once don't fit into the memory of the {take_step.device.type} device"
    )
    while at_once > 1:
        at_once = -(-at_once // 2)
        if _fits(take_step, own, num_images, image_size, at_once):
            num_patients = len(np.unique(take_step.data.patient_N[own])) * at_once // num_images
            smaller = f", or a batch of {num_patients} patients (training.sampler.patients_per_batch)"
            return (
                f"{full}, {at_once} do. Set training.images_per_pass={at_once}: loss and gradient stay those of the "
                f"whole batch. Or take more devices{smaller if num_patients >= 2 else ''}."
            )
    return f"{full}, nor does one. Take a smaller model.image_encoder, or a smaller image_size of it."


def _fits(take_step: TrainingStep, own: np.ndarray, num_images: int, image_size: int, images_per_pass: int) -> bool:
    """Whether forward and backward pass of this process's part fit, one by one, beside what the optimiser needs."""
    model, device = take_step.model, take_step.device
    settings = take_step.settings.model_copy(update={"images_per_pass": images_per_pass})
    take_step.optimizer.zero_grad(set_to_none=True)
    gc.collect()  # the error of what didn't fit is gone, and now all that its calls held
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trained = [value for value in model.parameters() if value.requires_grad]
    eagerly = torch.compiler.set_stance("force_eager")  # to compile it for another size takes minutes
    with contextlib.suppress(torch.OutOfMemoryError), eagerly:
        reserved = [torch.empty_like(value) for value in trained for _ in range(0 if take_step.optimizer.state else 2)]
        views = torch.zeros(num_images, 3, image_size, image_size, device=device)
        losses, _ = forward(model, take_step.data, own, views, settings)
        losses["loss"].backward()
        del reserved
        return True
    return False
