"""Held-out patients: loss, retrieval accuracy and embedding health after every epoch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slimp_pipeline.images.augment import plain_view
from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.losses.nested import nested_loss
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.health import alignment, effective_rank, retrieval_accuracy, uniformity
from slimp_pipeline.training.sampler import PatientBatches
from slimp_pipeline.training.step import project


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
    sampler = PatientBatches(data.patient_N, data.malignant_N, settings.sampler, settings.seed)
    batches = [(rows, *images.__getitems__(data.store_index_N[rows])) for rows in sampler.epoch(0)]
    return HeldOut(data, batches, image_size)


@torch.inference_mode()
def validate(model: SLIMP, held_out: HeldOut, settings: TrainingParams, device: torch.device) -> dict[str, float]:
    """Measure the model on held-out patients; losses in nats, accuracies as shares."""
    model.eval()
    amp = settings.mixed_precision and device.type == "cuda"
    losses, parts = [], []
    for rows, canvas, side in held_out.batches:
        mean, std = model.image_mean, model.image_std
        views = plain_view(canvas.to(device), side.to(device), held_out.image_size, mean, std)  # type: ignore[arg-type]
        projections, lesion_groups, patient_groups = project(model, held_out.data, rows, views, amp)
        losses.append(nested_loss(projections, lesion_groups, patient_groups, settings.loss))
        parts.append((projections, lesion_groups, patient_groups))
    model.train()
    # On the CPU: embedding health is measured in double precision, which MPS lacks.
    image = torch.cat([p.image_BD for p, _, _ in parts]).float().cpu()
    lesion = torch.cat([p.lesion_metadata_BD for p, _, _ in parts]).float().cpu()
    phenotype = torch.cat([p.phenotype_PD for p, _, _ in parts]).float().cpu()
    patient = torch.cat([p.patient_metadata_PD for p, _, _ in parts]).float().cpu()
    lesion_groups, patient_groups = torch.cat([g for _, g, _ in parts]).cpu(), torch.cat([g for _, _, g in parts]).cpu()
    return {
        "validation_loss": float(torch.stack([loss.total for loss in losses]).mean()),
        "validation_loss_lesion": float(torch.stack([loss.lesion for loss in losses]).mean()),
        "validation_loss_patient": float(torch.stack([loss.patient for loss in losses]).mean()),
        "validation_image_to_metadata_accuracy": retrieval_accuracy(image, lesion, lesion_groups),
        "validation_phenotype_to_patient_accuracy": retrieval_accuracy(phenotype, patient, patient_groups),
        "image_effective_rank": effective_rank(image),
        "image_uniformity": uniformity(image),
        "image_metadata_alignment": alignment(image, lesion),
        "phenotype_effective_rank": effective_rank(phenotype),
    }
