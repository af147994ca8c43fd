"""Held-out patients: who they are; loss, retrieval accuracy and embedding health after every epoch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor

from slimp_pipeline.images.augment import draw_maps, plain_views, sample_views
from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.losses.objective import Contrast
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training.cohort_batches import batches_of
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.health import alignment, effective_rank, retrieval_accuracy, uniformity
from slimp_pipeline.training.step import forward


def held_out_patients(lesions: pd.DataFrame, settings: TrainingParams) -> np.ndarray:
    """Draw validation patients from the training patients of each cohort; at least two, or none.

    A person of several cohorts is drawn among the patients of the smallest, which has the fewest to lose.

    Args:
        lesions: patient_id; cohort where there are several.
        settings: Share and seed.

    Returns:
        Which rows are theirs, bool (N,).
    """
    patient_N, cohort_N = lesions["patient_id"], lesions.get("cohort", pd.Series("", index=lesions.index))
    size_N = patient_N.groupby(cohort_N).transform("nunique")
    home = cohort_N.iloc[np.argsort(size_N, kind="stable")].groupby(patient_N).first()
    parts = [own for _, own in lesions.groupby(patient_N.map(home))]
    held_out = [patient for own in parts for patient in _drawn_patients(own, settings)]
    return patient_N.isin(held_out).to_numpy()


def _drawn_patients(lesions: pd.DataFrame, settings: TrainingParams) -> list[str]:
    num_patients = lesions["patient_id"].nunique()
    num_drawn = round(settings.validation_share * num_patients)
    if num_drawn < 2 or num_patients - num_drawn < 2:
        return []
    splitter = GroupShuffleSplit(1, test_size=num_drawn, random_state=settings.seed)
    _, drawn = next(splitter.split(lesions, groups=lesions["patient_id"]))
    return lesions["patient_id"].iloc[drawn].unique().tolist()


@dataclass(frozen=True)
class HeldOut:
    """Validation batches, decoded once: lesion rows, canvases, sides."""

    data: PatientLesions
    batches: list[tuple[np.ndarray, Tensor, Tensor]]
    image_size: int


def draw_validation(store: ImageStore, data: PatientLesions, settings: TrainingParams, image_size: int) -> HeldOut:
    """Draw the validation batches once and decode them; the same at every call.

    They are batched like training: a contrastive loss depends on the size of its batch.

    Args:
        store: The image store.
        data: Lesions of held-out patients, at least two.
        settings: Seed and sampler.
        image_size: Side of the views in pixels.
    """
    images = DecodedImages(store, image_size)
    # All lesions of a large cohort would be too many; by cohort, so that what mixed batches teach compares with others.
    once = settings.sampler.model_copy(update={"epoch": "patients", "mixed_cohorts": False})
    sampler = batches_of(data, once, settings.seed, skip_lone=True)
    batches = [(rows, *images.__getitems__(data.store_index_N[rows])) for rows in sampler.epoch(0)]
    return HeldOut(data, batches, image_size)


@torch.inference_mode()
def validate(model: SLIMP, held_out: HeldOut, settings: TrainingParams, device: torch.device) -> dict[str, float]:
    """Measure the model on held-out patients.

    Returns:
        `validation_loss` and its terms, in nats; and for each contrast of the objective (`image`, `lesion`,
        `patient`, `flat`, `views`) the share of left sides whose nearest right side of their batch is a right one,
        and embedding health.
    """
    model.eval()
    losses: dict[str, list[float]] = {}
    parts: dict[str, list[Contrast]] = {}
    for rows, canvas, side in held_out.batches:
        views = _views(model, canvas.to(device), side.to(device), held_out.image_size, settings)
        with torch.compiler.set_stance("force_eager"):  # compiling the forward pass anew would take longer than it
            batch_losses, contrasts = forward(model, held_out.data, rows, views, settings)
        for name, value in batch_losses.items():
            losses.setdefault(f"validation_{name}", []).append(float(value))
        for name, contrast in contrasts.items():
            parts.setdefault(name, []).append(contrast)
    model.train()
    measured = {name: float(np.mean(values)) for name, values in losses.items()}
    for name, contrasts_of in parts.items():
        measured |= _health(name, contrasts_of)
    return measured


def _views(model: SLIMP, canvas: Tensor, side: Tensor, image_size: int, settings: TrainingParams) -> Tensor:
    """One plain view; where the objective compares several, as many augmented ones, the same at every call."""
    view_format = model.view_format(image_size)
    if model.objective.num_views == 1:
        return plain_views(canvas, side, view_format)
    seeds = (torch.Generator().manual_seed(view) for view in range(model.objective.num_views))
    maps = [draw_maps(len(canvas), settings.augmentation, seed).to(canvas.device) for seed in seeds]
    return torch.cat([sample_views(canvas, side, drawn, view_format) for drawn in maps])


def _health(name: str, parts: list[Contrast]) -> dict[str, float]:
    """Embedding health of one contrast. On the CPU: it is measured in double precision, which MPS lacks."""
    sides = [(part.left_ND.float().cpu(), part.right_ND.float().cpu(), part.groups_N.cpu()) for part in parts]
    accuracies = [retrieval_accuracy(*of_batch) for of_batch in sides]  # groups are numbered batch by batch
    left, right, _ = map(torch.cat, zip(*sides, strict=True))
    return {
        f"validation_{name}_accuracy": float(np.average(accuracies, weights=[len(own) for own, *_ in sides])),
        f"{name}_effective_rank": effective_rank(left),
        f"{name}_uniformity": uniformity(left),
        f"{name}_alignment": alignment(left, right),
    }
