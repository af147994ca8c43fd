"""One optimiser step."""

import math
from contextlib import nullcontext
from typing import get_args

import numpy as np
import pytest
import torch

from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import LossParams, Objective, Pooling
from slimp_pipeline.training.step import TrainingStep, build_optimizer, forward, learning_rate_factor

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.5), (1, 1.0), (2, 1.0), (6, 0.5), (9, 0.5 * (1 + math.cos(math.pi * 7 / 8)))],
)
def test_the_learning_rate_warms_up_linearly_then_falls_as_a_cosine(step, expected):
    assert learning_rate_factor(step, 10, 0.2) == pytest.approx(expected)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup_share", [0.0, 0.1, 1.0])
def test_every_step_of_a_run_of_any_length_has_a_rate_above_zero(num_steps, warmup_share):
    factors = [learning_rate_factor(step, num_steps, warmup_share) for step in range(num_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1.0


def test_only_matrices_decay_and_the_backbone_has_its_own_rate(make_model, make_settings):
    settings = make_settings(image_learning_rate=1e-4, weight_decay=0.3)
    model = make_model(settings)
    optimizer = build_optimizer(model, settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.append(name)
            assert group["peak_lr"] == (1e-4 if name.startswith("image_encoder.") else 3e-3), name
            plain = parameter.ndim < 2 or any(part in name for part in ("tokenizer", "cls_token", "pos_embed"))
            assert group["weight_decay"] == (0.0 if plain else 0.3), name
    assert sorted(seen) == sorted(names.values())
    assert {
        "objective.inner.lesion.temperature.log",
        "lesion_encoder.tokenizer.options",
        "image_encoder.pos_embed",
    } <= set(seen)


def test_frozen_parameters_are_not_optimised(make_model, make_settings):
    model = make_model(make_settings(), num_trained_stages=0)
    optimized = {id(p) for group in build_optimizer(model, make_settings()).param_groups for p in group["params"]}
    assert not optimized & {id(p) for p in model.image_encoder.parameters()}


def stepper(tiny, model, settings, num_steps: int = 10):
    data = tiny.data()
    rows = np.arange(8)
    images = DecodedImages(tiny.store, 16).__getitems__(data.store_index_N[rows])
    step = TrainingStep(model, build_optimizer(model, settings), data, settings, 16, CPU, num_steps)
    return lambda number: step(number, rows, *images)


def test_a_step_changes_every_trained_parameter_and_says_what_it_cost(tiny, make_model, make_settings):
    settings = make_settings(warmup_share=0.0)
    model = make_model(settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    values = stepper(tiny, model, settings)(0)
    assert values["loss"] == pytest.approx((values["loss_lesion"] + values["loss_patient"]) / 2)
    assert values["learning_rate"] == 3e-3
    assert values["grad_norm"] > 0
    unchanged = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    # No row is wholly unknown, no field is a checkbox; the rest of the unchanged are constants.
    assert {name.rpartition(".")[2] for name in unchanged} <= {
        "nothing_known",
        "options",
        "option_bias",
        "offsets",
        "membership",
    }


def test_the_same_step_from_the_same_weights_gives_the_same_weights(tiny, make_model, make_settings):
    results = []
    for noise in (1, 2):
        model = make_model(make_settings())
        torch.manual_seed(noise)
        stepper(tiny, model, make_settings())(4)
        results.append(model.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_a_gradient_that_is_not_finite_leaves_the_weights_as_they_were(tiny, make_model, make_settings):
    model = make_model(make_settings())
    with torch.no_grad():
        model.objective.inner.lesion.left[1].weight.fill_(float("nan"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not stepper(tiny, model, make_settings())(7)["grad_norm"].isfinite()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


def test_temperatures_never_fall_below_their_minimum(tiny, make_model, make_settings):
    settings = make_settings(loss=LossParams(temperature=0.0701, min_temperature=0.07), learning_rate=0.5)
    model = make_model(settings)
    take_step = stepper(tiny, model, settings)
    for number in range(6):
        take_step(number)
        assert float(model.objective.inner.lesion.temperature()) >= 0.07 * (1 - 1e-6)
        assert float(model.objective.outer.patient.temperature()) >= 0.07 * (1 - 1e-6)


@pytest.mark.parametrize(
    ("objective", "untouched"),
    [
        ("flat", set()),
        ("inner_only", {"patient_encoder"}),
        ("outer_only", set()),
        ("simclr", {"lesion_encoder", "patient_encoder"}),
    ],
)
def test_an_objective_trains_the_encoders_that_it_compares(tiny, make_model, make_settings, objective, untouched):
    settings = make_settings(warmup_share=0.0, loss=LossParams(objective=objective))
    model = make_model(settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stepper(tiny, model, settings)(0)
    after = model.state_dict()
    changed = {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    encoders = {"image_encoder", "lesion_encoder", "patient_encoder"}
    assert changed & encoders == encoders - untouched
    assert "objective" in changed


def test_hidden_fields_are_reconstructed_beside_the_contrast(tiny, make_settings, model_settings):
    settings = make_settings(loss=LossParams(reconstruction_weight=0.5))
    metadata = model_settings.metadata_encoder.model_copy(update={"field_dropout": 0.5})
    torch.manual_seed(0)
    model = SLIMP(model_settings.model_copy(update={"metadata_encoder": metadata}), settings.loss, tiny.encoding)
    take_step = stepper(tiny, model, settings, num_steps=60)
    values = [take_step(number) for number in range(60)]
    for value in values:
        nested = (value["loss_lesion"] + value["loss_patient"]) / 2
        assert value["loss"] == pytest.approx(nested + 0.5 * value["loss_reconstruction"], rel=1e-5)
    reconstruction = [value["loss_reconstruction"] for value in values]
    assert np.mean(reconstruction[-10:]) < np.mean(reconstruction[:10])


def test_reconstruction_without_hidden_fields_is_refused(tiny, model_settings):
    with pytest.raises(ValueError, match="field_dropout above 0"):
        SLIMP(model_settings, LossParams(reconstruction_weight=0.5), tiny.encoding)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("objective", get_args(Objective))
def test_passes_of_images_give_the_loss_and_the_gradients_of_the_whole_batch(
    tiny, make_settings, model_settings, objective, pooling
):
    settings = make_settings(loss=LossParams(objective=objective, reconstruction_weight=0.5))
    metadata = model_settings.metadata_encoder.model_copy(update={"field_dropout": 0.5})
    changes = {"metadata_encoder": metadata, "pooling": pooling}
    torch.manual_seed(0)
    model = SLIMP(model_settings.model_copy(update=changes), settings.loss, tiny.encoding).train()
    views = torch.randn(11 * model.objective.num_views, 3, 16, 16)
    found = []
    for images_per_pass in (None, 4):
        torch.manual_seed(1)
        chosen = settings.model_copy(update={"images_per_pass": images_per_pass})
        losses, _ = forward(model, tiny.data(), np.arange(11), views, chosen)
        model.zero_grad(set_to_none=True)
        losses["loss"].backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append((losses, gradients))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    assert {name.partition(".")[0] for name in found[0][1]} >= {"image_encoder", "objective", "reconstructions"}


@pytest.mark.parametrize("num_passes", [1, 3])
def test_steps_in_passes_can_be_taken_again_and_one_pass_is_the_whole_batch(
    tiny, make_model, make_settings, model_settings, num_passes
):
    arguments = model_settings.image_encoder.arguments | {"proj_drop_rate": 0.3}
    states = []
    for images_per_pass in (8 // num_passes, 8 // num_passes if num_passes > 1 else None):
        settings = make_settings(images_per_pass=images_per_pass)
        model = make_model(settings, arguments=arguments)
        take_step = stepper(tiny, model, settings)
        for number in range(2):
            take_step(number)
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


class Fused(torch.optim.SGD):
    """Stands for an optimiser that looks for itself whether the gradient is finite."""

    def __init__(self, model):
        super().__init__([{"params": list(model.parameters()), "peak_lr": 0.1}], lr=0.1)
        self.defaults["fused"] = True

    def step(self):
        assert self.found_inf.device.type == "meta"


WITHOUT_WAITING = [(objective, "mean") for objective in get_args(Objective)] + [("slimp", "gated_attention")]


@pytest.mark.parametrize(("objective", "pooling"), WITHOUT_WAITING)
@pytest.mark.parametrize("images_per_pass", [None, 3])
def test_nothing_in_a_step_is_read_back_from_the_device(
    tiny, make_settings, model_settings, monkeypatch, objective, pooling, images_per_pass
):
    """Tensors of the device `meta` have no values: reading one, for whatever decision, is an error."""
    meta = torch.device("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which doesn't know it
    settings = make_settings(
        loss=LossParams(objective=objective, reconstruction_weight=0.5), images_per_pass=images_per_pass
    )
    metadata = model_settings.metadata_encoder.model_copy(update={"field_dropout": 0.5})
    changes = {"metadata_encoder": metadata, "pooling": pooling}
    model = SLIMP(model_settings.model_copy(update=changes), settings.loss, tiny.encoding).to(meta)
    data, rows = tiny.data(), np.arange(8)
    canvas, side = DecodedImages(tiny.store, 16).__getitems__(data.store_index_N[rows])
    step = TrainingStep(model, Fused(model), data.to(meta), settings, 16, meta, 10)
    values = step(3, rows, canvas.to(meta), side.to(meta))
    assert values["loss"].device.type == values["grad_norm"].device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(values["loss"])
