"""Objectives: what is compared, how it is weighted, and what each loss is worth by hand."""

import dataclasses
import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.losses import build_objective
from slimp_pipeline.losses.info_nce import info_nce
from slimp_pipeline.losses.objective import Dims, Representations
from slimp_pipeline.losses.simclr import nt_xent
from slimp_pipeline.parameters import LossParams, Objective

torch.set_num_threads(1)
DIMS = Dims(image=5, metadata=4, phenotype=9, projection=8)
LESION_GROUPS, PATIENT_GROUPS = torch.tensor([0, 1, 1, 2, 3, 3]), torch.tensor([0, 0, 1])


def batch(views: int = 1) -> Representations:
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(shape, generator=generator) for shape in ((views, 6, 5), (6, 4), (3, 4), (3, 9))]
    return Representations(*draw, torch.tensor([0, 0, 1, 1, 1, 2]), LESION_GROUPS, PATIENT_GROUPS)


def objective(name: str, **changes):
    torch.manual_seed(0)
    return build_objective(LossParams(objective=name, **changes), DIMS)


def losses(name: str, **changes):
    made = objective(name, **changes)
    return made.losses(made.contrasts(batch(made.num_views)))


@pytest.mark.parametrize("name", ["slimp", "slimp_paper"])
def test_a_level_whose_rows_are_all_alike_leaves_its_weight_to_the_other(name):
    made = objective(name, lesion_weight=0.25)
    same = dataclasses.replace(batch(), patient_groups_P=torch.zeros(3, dtype=torch.int64))
    values = made.losses(made.contrasts(same))
    torch.testing.assert_close(values["loss"], values["loss_lesion"])
    values["loss"].backward()
    assert not any(parameter.grad is not None and parameter.grad.any() for parameter in made.outer.parameters())


def test_where_nothing_differs_nothing_is_learnt():
    made = objective("inner_only")
    alike = dataclasses.replace(batch(), lesion_groups_K=torch.zeros(6, dtype=torch.int64))
    values = made.losses(made.contrasts(alike))
    values["loss"].backward()
    assert float(values["loss"].detach()) == 0 and not any(parameter.grad.any() for parameter in made.parameters())


@pytest.mark.parametrize("name", get_args(Objective))
def test_every_objective_gives_a_finite_loss_and_a_gradient_to_all_of_its_heads(name):
    made = objective(name)
    values = made.losses(made.contrasts(batch(made.num_views)))
    values["loss"].backward()
    assert math.isfinite(values["loss"].detach())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in made.parameters())


@pytest.mark.parametrize("name", sorted(set(get_args(Objective)) - {"simclr"}))
def test_views_beside_an_objective_add_their_weighted_loss_and_change_nothing_else(name):
    made, alone, views = objective(name, views_weight=0.3), objective(name), objective("simclr")
    alone.load_state_dict(made.objective.state_dict())
    views.load_state_dict(made.views.state_dict())
    drawn = batch(made.num_views)
    values = made.losses(made.contrasts(drawn))
    plain, of_views = (one.losses(one.contrasts(drawn)) for one in (alone, views))
    torch.testing.assert_close(values["loss"], plain["loss"] + 0.3 * of_views["loss"])
    assert set(values) == {*plain, "loss_views"}
    for term in set(plain) - {"loss"}:
        torch.testing.assert_close(values[term], plain[term])
    values["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in made.parameters())


def test_where_metadata_are_all_alike_views_go_on_with_their_own_weight():
    made = objective("slimp", views_weight=0.3)
    alike = {
        "lesion_groups_K": torch.zeros(6, dtype=torch.int64),
        "patient_groups_P": torch.zeros(3, dtype=torch.int64),
    }
    values = made.losses(made.contrasts(dataclasses.replace(batch(2), **alike)))
    torch.testing.assert_close(values["loss"], 0.3 * values["loss_views"])


def test_views_beside_views_are_refused():
    with pytest.raises(ValueError, match="simclr is nothing but these: set 0"):
        LossParams(objective="simclr", views_weight=0.5)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_nested_total_is_linear_in_the_weight(weight):
    value = losses("slimp", lesion_weight=weight)
    torch.testing.assert_close(value["loss"], weight * value["loss_lesion"] + (1 - weight) * value["loss_patient"])


def test_the_single_levels_are_the_nested_loss_with_a_weight_of_one_or_zero():
    inner, outer = objective("inner_only"), objective("outer_only")
    lesions, patients = objective("slimp", lesion_weight=1.0), objective("slimp", lesion_weight=0.0)
    lesions.inner, patients.outer = inner, outer
    for single, nested in ((inner, lesions), (outer, patients)):
        expected = single.losses(single.contrasts(batch()))["loss"]
        torch.testing.assert_close(nested.losses(nested.contrasts(batch()))["loss"], expected)


@pytest.mark.parametrize(("name", "grouped"), [("slimp", True), ("slimp_paper", False)])
def test_only_our_form_takes_rows_with_equal_metadata_as_positives(name, grouped):
    made = objective(name)
    contrasts = made.contrasts(batch())
    for level, groups in (("lesion", LESION_GROUPS), ("patient", PATIENT_GROUPS)):
        contrast = contrasts[level]
        expected = info_nce(
            contrast.left_ND,
            contrast.right_ND,
            temperature=contrast.temperature,
            groups_B=groups if grouped else None,
        )
        torch.testing.assert_close(made.term(contrast), expected)


def test_flat_contrast_joins_each_lesion_with_its_own_patients_metadata():
    made, drawn = objective("flat"), batch()
    contrast = made.contrasts(drawn)["flat"]
    for row, patient in enumerate([0, 0, 1, 1, 1, 2]):
        joined = torch.cat([drawn.lesion_KM[row], drawn.patient_PM[patient]])
        torch.testing.assert_close(contrast.right_ND[row], made.flat.right(joined))
        torch.testing.assert_close(contrast.left_ND[row], made.flat.left(drawn.image_VBI[0, row]))


def test_flat_rows_are_of_one_group_where_lesion_and_patient_metadata_both_coincide():
    groups = objective("flat").contrasts(batch())["flat"].groups_N
    # Lesions 1 and 2 coincide, of patients 0 and 1 who do too; 4 and 5 coincide, of patients 1 and 2 who don't.
    same = groups.unsqueeze(0) == groups.unsqueeze(1)
    assert same.nonzero()[same.nonzero()[:, 0] < same.nonzero()[:, 1]].tolist() == [[1, 2]]


def test_the_objectives_that_need_no_metadata_ignore_them():
    made, drawn = objective("simclr"), batch(2)
    other = Representations(
        drawn.image_VBI,
        drawn.lesion_KM + 1,
        drawn.patient_PM + 1,
        drawn.phenotype_PX + 1,
        drawn.patient_of_lesion_K,
        torch.zeros_like(LESION_GROUPS),
        torch.zeros_like(PATIENT_GROUPS),
    )
    assert made.losses(made.contrasts(drawn))["loss"] == made.losses(made.contrasts(other))["loss"]


def test_temperatures_begin_at_the_setting_but_never_below_the_minimum():
    for setting, expected in ((0.07, 0.07), (0.001, 0.02)):
        made = objective("slimp", temperature=setting, min_temperature=0.02)
        contrasts = made.contrasts(batch())
        assert [float(c.temperature.detach()) for c in contrasts.values()] == pytest.approx([expected] * 2)


def test_a_temperature_at_its_minimum_can_rise_again():
    made = objective("inner_only")
    temperature = made.lesion.temperature
    with torch.no_grad():
        temperature.log.fill_(-20.0)
    made.clamp_temperatures()
    assert temperature.log.item() == pytest.approx(math.log(0.01))
    temperature().backward()
    assert float(temperature.log.grad) == pytest.approx(0.01)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 6), seed=st.integers(0, 1000), temperature=st.floats(0.05, 2))
def test_nt_xent_equals_a_loop_over_all_rows_of_both_views(rows, seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(rows, 3, generator=generator) for _ in range(2))
    both = F.normalize(torch.cat([left, right]), dim=1)
    total = 0.0
    for i in range(2 * rows):
        partner = (i + rows) % (2 * rows)
        logits = [float(both[i] @ both[j]) / temperature for j in range(2 * rows)]
        others = math.log(sum(math.exp(logits[j]) for j in range(2 * rows) if j != i))
        total += others - logits[partner]
    value = nt_xent(left, right, temperature=torch.tensor(temperature))
    assert float(value) == pytest.approx(total / (2 * rows), rel=1e-4, abs=1e-4)


def test_nt_xent_of_rows_that_all_coincide_is_the_log_of_the_number_of_others():
    ones = torch.ones(4, 3)
    assert float(nt_xent(ones, ones, temperature=torch.tensor(0.1))) == pytest.approx(math.log(7), rel=1e-5)


def test_nt_xent_does_not_tell_the_views_apart():
    left, right = torch.randn(2, 5, 3).unbind()
    one, other = (nt_xent(a, b, temperature=torch.tensor(0.2)) for a, b in ((left, right), (right, left)))
    torch.testing.assert_close(one, other)


def test_nt_xent_of_one_row_is_refused():
    with pytest.raises(ValueError, match="B >= 2"):
        nt_xent(torch.ones(1, 3), torch.ones(1, 3), temperature=torch.tensor(0.1))
