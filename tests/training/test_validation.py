"""Held-out patients."""

import math
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.losses.objective import Contrast
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import LossParams, Objective, TrainingParams
from slimp_pipeline.training import validation
from slimp_pipeline.training.validation import draw_validation, held_out_patients, validate

CPU = torch.device("cpu")


def test_held_out_patients_are_whole_patients_and_the_same_at_every_draw(tiny, make_settings):
    settings = make_settings(validation_share=0.25)
    first, second = (held_out_patients(tiny.lesions, settings) for _ in range(2))
    assert (first == second).all()
    inside, outside = set(tiny.lesions["patient_id"][first]), set(tiny.lesions["patient_id"][~first])
    assert len(inside) == 3
    assert not inside & outside
    other = held_out_patients(tiny.lesions, make_settings(validation_share=0.25, seed=3))
    assert (first != other).any()


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    both=st.integers(0, 3),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.1, 0.3]),
)
def test_of_each_cohort_its_share_is_held_out_and_two_patients_stay(sizes, both, seed, share):
    patients = [(cohort, f"{cohort}{number}") for cohort, size in enumerate(sizes) for number in range(size)]
    patients += [(1, f"0{number}") for number in range(min(both, sizes[0]))]  # persons of one registry, in two cohorts
    lesions = pd.DataFrame(patients * 2, columns=["cohort", "patient_id"])
    held_out = held_out_patients(lesions, TrainingParams(validation_share=share, seed=seed))
    inside = set(lesions["patient_id"][held_out])
    assert not inside & set(lesions["patient_id"][~held_out])
    for cohort, own in lesions.groupby("cohort"):
        names = set(own["patient_id"])
        assert len(names - inside) >= min(2, len(names))
        if not both:
            expected = round(share * sizes[cohort])
            assert len(names & inside) == (expected if 2 <= expected <= sizes[cohort] - 2 else 0)


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_none_are_held_out_where_fewer_than_two_would_be_on_either_side(tiny, make_settings, share):
    assert not held_out_patients(tiny.lesions, make_settings(validation_share=share)).any()


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


def told_apart(data, contrast, rows, three):
    """What tells the rows of a contrast apart, one key a row: their metadata, of views the picture itself."""

    def of(fields, row):
        return b"".join(values[row].numpy().tobytes() for values in fields.values())

    lesions, patients = dict.fromkeys(data.lesion_N[rows]), sorted(set(data.patient_N[rows]))
    keys = {
        "views": list(rows),
        "image": [of(data.image, row) for row in rows],
        "lesion": [of(data.lesion, lesion) for lesion in (lesions if three else data.lesion_N[rows])],
        "patient": [of(data.patient, patient) for patient in patients],
        "flat": [
            (of(data.image, row), of(data.lesion, data.lesion_N[row]), of(data.patient, data.patient_N[row]))
            for row in rows
        ],
    }
    return keys[contrast]


@pytest.mark.parametrize("three", [False, True], ids=["two levels", "three levels"])
@pytest.mark.parametrize("objective", [*get_args(Objective), "slimp with views"])
def test_partners_of_every_objective_are_right_where_their_metadata_are_alike(
    tiny, tiny_of_three, model_settings, make_settings, monkeypatch, objective, three
):
    views = 0.5 if objective == "slimp with views" else 0.0
    settings = make_settings(loss=LossParams(objective=objective.split()[0], views_weight=views))
    own = tiny_of_three if three else tiny
    torch.manual_seed(0)
    model, data, expected = SLIMP(model_settings, settings.loss, own.encoding), own.data(), {}

    def watched(model, data, rows, *others):
        losses, contrasts = forward(model, data, rows, *others)
        for name, contrast in contrasts.items():
            keys = told_apart(data, name, rows, three)
            left, right = F.normalize(contrast.left_ND), F.normalize(contrast.right_ND)
            found = [keys[int((right @ one).argmax())] == key for one, key in zip(left, keys, strict=True)]
            expected.setdefault(f"validation_{name}_accuracy", []).extend(found)
        return losses, contrasts

    forward = validation.forward
    monkeypatch.setattr(validation, "forward", watched)
    held_out = draw_validation(own.store, data, settings, 16)
    assert len(held_out.batches) > 1
    values = validate(model, held_out, settings, CPU)
    measured = {name: value for name, value in values.items() if name.endswith("_accuracy")}
    assert measured == pytest.approx({name: np.mean(found) for name, found in expected.items()})


def test_partners_are_looked_for_in_their_own_batch_whose_groups_mean_nothing_in_another():
    """The second batch's rows look most like the first's, and are numbered as these."""
    first, second = torch.eye(4)[:2], torch.eye(4)[2:]
    right = Contrast(first, first, torch.arange(2), torch.tensor(0.1))
    half = torch.stack([second[0], second[0]]) + 2 * first
    parts = [right, Contrast(half, second, torch.arange(2), torch.tensor(0.1))]
    assert validation._health("flat", parts)["validation_flat_accuracy"] == 0.75
