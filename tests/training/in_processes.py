"""What the processes of `test_devices.py` do: they import it by its name, without pytest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch

from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.ranks import Ranks
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import LossParams, ModelParams, Objective, Pooling, SamplerParams, TrainingParams
from slimp_pipeline.tables.encoding import Encoding
from slimp_pipeline.training.data import PatientLesions
from slimp_pipeline.training.loop import Task, take_part
from slimp_pipeline.training.sampler import PatientBatches, own_part
from slimp_pipeline.training.step import TrainingStep, build_optimizer

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Given:
    """A tiny cohort, its first so many patients, and a tiny model."""

    store: ImageStore
    encoding: Encoding
    data: dict[int, PatientLesions]
    settings: TrainingParams
    model: ModelParams


def take_step(given, settings, model_settings, ranks, *, patients, watch=lambda model: None, side=16):
    """One step of this process on the first batch; returns its losses and the gradients that it leaves."""
    data = given.data[patients]
    torch.manual_seed(0)
    model = SLIMP(model_settings, settings.loss, given.encoding)
    watch(model)
    rows = next(PatientBatches(data.patient_N, data.malignant_N, settings.sampler, 0, data.lesion_N).epoch(0))
    own = rows[own_part(data.patient_N[rows], ranks.rank, ranks.count)]
    images = DecodedImages(given.store, side).__getitems__(data.store_index_N[own])
    step = TrainingStep(model, build_optimizer(model, settings), data, settings, side, CPU, 10, ranks)
    values = step(3, rows, *images)
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return values, gradients, model


def changed(model_settings: ModelParams, **changes) -> ModelParams:
    metadata = model_settings.metadata_encoder.model_copy(update={"field_dropout": 0.5})
    return model_settings.model_copy(update={"metadata_encoder": metadata} | changes)


OBJECTIVES = [(objective, "mean", None) for objective in get_args(Objective)]
POOLINGS = [("slimp", pooling, None) for pooling in get_args(Pooling)]
IN_PASSES = [("slimp", "gated_attention", 2), ("simclr", "mean", 2)]
CASES = list(dict.fromkeys(OBJECTIVES + POOLINGS + IN_PASSES))
"""Every objective and every pooling, in passes or at once."""


def every_case(given: Given, ranks: Ranks, cases=CASES) -> dict:
    """Losses and gradients of the cases, patients of any number."""
    found = {}
    for number, case in enumerate(cases):
        objective, pooling, images_per_pass = case
        loss = LossParams(objective=objective, reconstruction_weight=0.5)
        sampler = SamplerParams(patients_per_batch=7, lesions_per_patient=3)
        changes = {"loss": loss, "sampler": sampler, "images_per_pass": images_per_pass, "max_grad_norm": 1e9}
        settings = given.settings.model_copy(update=changes)
        models = changed(given.model, pooling=pooling)
        values, gradients, _ = take_step(given, settings, models, ranks, patients=5 + number % 6)
        flat = torch.cat([value.flatten() for value in gradients.values()])
        assert torch.equal(ranks.sum(flat.clone()), ranks.count * flat)  # the same bits in every process
        found[case] = values, gradients
    return found


def a_convolution(given: Given, ranks: Ranks) -> None:
    """Batch norm's statistics become the mean of the processes' own."""
    image = given.model.image_encoder.model_copy(
        update={"name": "tf_efficientnet_lite0", "arguments": None, "image_size": 64}
    )
    seen = []

    def watch(model):
        model.image_encoder.bn1.register_forward_pre_hook(lambda _, pixels: seen.append(pixels[0].mean((0, 2, 3))))

    models = changed(given.model, image_encoder=image)
    *_, model = take_step(given, given.settings, models, ranks, patients=8, watch=watch, side=64)
    layer = model.image_encoder.bn1
    expected = layer.momentum * ranks.sum(seen[0].detach().clone()) / ranks.count
    torch.testing.assert_close(layer.running_mean, expected)
    assert torch.equal(ranks.sum(layer.running_var.clone()), ranks.count * layer.running_var)


def a_spoilt_part(given: Given, ranks: Ranks) -> None:
    """What isn't finite in the last process is found, and skipped, in all."""
    before = {}

    def watch(model):
        before.update({name: value.clone() for name, value in model.state_dict().items()})
        if ranks.rank == ranks.count - 1:
            model.image_encoder.register_forward_hook(lambda *parts: parts[-1] * float("nan"))

    values, _, model = take_step(given, given.settings, changed(given.model), ranks, patients=8, watch=watch)
    assert not values["grad_norm"].isfinite()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def different_dropout(ranks: Ranks) -> None:
    """What processes draw for themselves differs; the first draws what it would alone."""
    torch.manual_seed(5)
    alone = torch.rand(4)
    torch.manual_seed(5)
    ranks.part_ways()
    drawn = torch.rand(4)
    everyone = torch.zeros(ranks.count, 4)
    everyone[ranks.rank] = drawn
    ranks.sum(everyone)
    assert torch.equal(everyone[0], alone)
    assert len(everyone.unique(dim=0)) == ranks.count


def stopped_early(given: Given, ranks: Ranks, report: Callable) -> None:
    """A run that gets worse ends in all processes, by what the first measures."""
    settings = given.settings.model_copy(
        update={"patience_epochs": 1, "num_epochs": 50, "learning_rate": 0.5, "warmup_share": 0.0}
    )
    torch.manual_seed(0)
    model = SLIMP(given.model, settings.loss, given.encoding)
    task = Task(model, given.store, given.data[8], given.data[5], settings, 16, None, "early")
    _, course = take_part(task, ranks, report)
    assert course.progress.stopped and course.step < 100


def in_each(given: Given, ranks: Ranks, report: Callable) -> dict:
    """All of it, in each process; returns losses and gradients."""
    if ranks.count == 2:
        a_convolution(given, ranks)
        stopped_early(given, ranks, lambda *_: None)
    a_spoilt_part(given, ranks)
    different_dropout(ranks)
    report(1, {"threads": float(torch.get_num_threads())})
    return every_case(given, ranks)


def with_three_levels(given: Given, cases: list, ranks: Ranks, report: Callable) -> dict:
    """Losses and gradients of the cases, in each process."""
    return every_case(given, ranks, cases)


def fails_in_the_second(ranks: Ranks, report: Callable) -> None:
    if ranks.rank == 1:
        raise KeyError("of the second")
    ranks.sum(torch.zeros(1))
