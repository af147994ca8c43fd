"""Held-out patients."""

import math

import pytest
import torch

from slimp_pipeline.parameters import LossParams
from slimp_pipeline.training.validation import draw_validation, validate

CPU = torch.device("cpu")


def test_the_held_out_draw_is_the_same_at_every_call(tiny, make_settings):
    first, second = (draw_validation(tiny.store, tiny.data(), make_settings(), 16) for _ in range(2))
    assert len(first.batches) == 3
    for (rows, canvas, side), (rows2, canvas2, side2) in zip(first.batches, second.batches, strict=True):
        assert rows.tolist() == rows2.tolist()
        assert torch.equal(canvas, canvas2)
        assert torch.equal(side, side2)


def test_validation_measures_everything_and_changes_nothing(tiny, make_model, make_settings):
    settings = make_settings()
    model = make_model(settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    held_out = draw_validation(tiny.store, tiny.data(), settings, 16)
    values = validate(model, held_out, settings, CPU)
    assert values == validate(model, held_out, settings, CPU)
    health = ("effective_rank", "uniformity", "alignment")
    assert set(values) == {"validation_loss"} | {
        name
        for level in ("lesion", "patient")
        for name in (
            f"validation_loss_{level}",
            f"validation_{level}_accuracy",
            *(f"{level}_{measure}" for measure in health),
        )
    }
    assert all(math.isfinite(value) for value in values.values())
    assert 1 <= values["lesion_effective_rank"] <= 8
    assert 0 <= values["lesion_alignment"] <= 4
    assert model.training
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_passes_of_images_are_measured_as_the_whole_batch(tiny, make_model, make_settings):
    settings, passes = make_settings(), make_settings(images_per_pass=3)
    held_out = draw_validation(tiny.store, tiny.data(), settings, 16)
    whole, parts = (validate(make_model(chosen), held_out, chosen, CPU) for chosen in (settings, passes))
    assert parts == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_frozen_normalisation_stays_frozen_after_validation(tiny, make_model, make_settings):
    settings = make_settings()
    model = make_model(settings, name="tf_efficientnet_lite0", arguments=None, image_size=16, num_trained_stages=1)
    validate(model, draw_validation(tiny.store, tiny.data(0, 3), settings, 16), settings, CPU)
    assert not model.image_encoder.bn1.training
    assert model.image_encoder.bn2.training


def test_an_objective_of_two_views_is_measured_on_two_different_views(tiny, make_model, make_settings):
    settings = make_settings(loss=LossParams(objective="simclr"))
    model = make_model(settings)
    values = validate(model, draw_validation(tiny.store, tiny.data(), settings, 16), settings, CPU)
    assert {"validation_loss_views", "validation_views_accuracy", "views_effective_rank"} <= set(values)
    assert values["views_alignment"] > 1e-3
