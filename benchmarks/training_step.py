"""Whole training step against its ceiling: the bare backbone's forward, backward and optimiser step."""

import time
from itertools import islice
from pathlib import Path

import timm
import torch

from cohort import cohort
from comparison import compare
from input_path import crops
from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.models.image import is_convolutional
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, ModelParams, SamplerParams, TrainingParams
from slimp_pipeline.training.sampler import PatientBatches
from slimp_pipeline.training.step import TrainingStep, build_optimizer

BACKBONES = {
    "vit_tiny": ImageEncoderParams(
        name="vit_tiny_patch16_224",
        image_size=64,
        arguments={"patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4},
    ),
    "efficientnet": ImageEncoderParams(name="tf_efficientnet_lite0", image_size=128),
    "vit_small": ImageEncoderParams(name="vit_small_patch16_224", image_size=224),
}
STEPS = {"vit_tiny": 12, "efficientnet": 8, "vit_small": 2}
PATIENTS = {"vit_tiny": 16, "efficientnet": 16, "vit_small": 4}  # a batch has four images of each


def measure(folder: Path, name: str, rounds: int) -> dict:
    """Images/s of a step from stored bytes to updated weights (decoding, augmentation, metadata, losses)."""
    keep_freed_memory()
    store = crops(folder)
    settings = TrainingParams(
        device="cpu", num_epochs=10_000, num_workers=1,
        sampler=SamplerParams(patients_per_batch=PATIENTS[name], lesions_per_patient=4),
    )  # fmt: skip
    data = cohort(len(store))
    model = SLIMP(ModelParams(image_encoder=BACKBONES[name]), LossParams(), data[1])
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(_ours(model, store, data[0], settings, BACKBONES[name].image_size, STEPS[name]))
        peer.append(_bare(BACKBONES[name], PATIENTS[name] * 4, STEPS[name]))
    return compare(ours, peer, "bare timm backbone, ready tensors", "images/s")


def _ours(model, store, data, settings, size: int, num_steps: int) -> float:
    batches = PatientBatches(data.patient_N, data.malignant_N, settings.sampler, 0, data.lesion_N)
    step = TrainingStep(model, build_optimizer(model, settings), data, settings, size, torch.device("cpu"), 10_000)
    drawn = list(islice(batches.steps(0, 10_000), num_steps + 2))
    indices = [data.store_index_N[rows].tolist() for rows in drawn]
    loader = zip(drawn, decoded_batches(store, size, indices, num_workers=1), strict=True)
    for warm_up in range(2):
        rows, (canvas, side) = next(loader)
        step(warm_up, rows, canvas, side)
    started, count = time.perf_counter(), 0
    for number in range(num_steps):
        rows, (canvas, side) = next(loader)
        step(number, rows, canvas, side)
        count += len(rows)
    return count / (time.perf_counter() - started)


def _bare(settings: ImageEncoderParams, batch: int, num_steps: int) -> float:
    arguments = dict(settings.arguments or {})
    if settings.name.startswith("vit"):
        arguments["img_size"] = settings.image_size
    backbone = timm.create_model(settings.name, num_classes=0, **arguments).train()
    image = torch.randn(batch, 3, settings.image_size, settings.image_size)
    if is_convolutional(backbone):
        backbone, image = (
            backbone.to(memory_format=torch.channels_last),
            image.contiguous(memory_format=torch.channels_last),
        )
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4, foreach=True)  # as ours

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        backbone(image).square().mean().backward()
        optimizer.step()

    step()
    step()
    started = time.perf_counter()
    for _ in range(num_steps):
        step()
    return num_steps * len(image) / (time.perf_counter() - started)
