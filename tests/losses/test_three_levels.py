"""Objectives where pictures have a level of their own."""

import dataclasses
import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.losses import build_objective
from slimp_pipeline.losses.objective import Dims, Pictures, Representations
from slimp_pipeline.parameters import LossParams, Objective

torch.set_num_threads(1)
DIMS = Dims(image=5, metadata=4, phenotype=13, projection=8, pictures=9)
LESION_OF_IMAGE, PATIENT_OF_LESION = [0, 0, 1, 2, 2, 3], [0, 0, 1, 2]
IMAGE_GROUPS, LESION_GROUPS, PATIENT_GROUPS = [0, 1, 1, 0, 2, 1], [0, 1, 0, 0], [0, 0, 1]


def batch(seed: int = 0, views: int = 1) -> Representations:
    """Six pictures of four lesions of three patients."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((views, 6, 5), (4, 4), (3, 4), (3, 13), (6, 4), (4, 9))
    image, lesion, patient, phenotype, fields, pooled = (torch.randn(shape, generator=generator) for shape in shapes)
    pictures = Pictures(fields, torch.tensor(IMAGE_GROUPS), torch.tensor(LESION_OF_IMAGE), pooled)
    groups = torch.tensor(LESION_GROUPS), torch.tensor(PATIENT_GROUPS)
    return Representations(image, lesion, patient, phenotype, torch.tensor(PATIENT_OF_LESION), *groups, pictures)


def objective(name: str, **changes):
    torch.manual_seed(0)
    return build_objective(LossParams(objective=name, **changes), DIMS)


def looped(left, right, temperature: float, groups: list[int]) -> float:
    """Symmetric InfoNCE with several positives, row by row."""
    left, right = F.normalize(left, dim=1).tolist(), F.normalize(right, dim=1).tolist()
    total = 0.0
    for one, other in ((left, right), (right, left)):
        for i, row in enumerate(one):
            logits = [sum(a * b for a, b in zip(row, key, strict=True)) / temperature for key in other]
            log_sum = math.log(sum(map(math.exp, logits)))
            positives = [j for j, group in enumerate(groups) if group == groups[i]]
            total += sum(log_sum - logits[j] for j in positives) / len(positives)
    return total / (2 * len(groups))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), image_weight=st.floats(0, 1), lesion_weight=st.floats(0, 1))
def test_the_loss_is_that_of_a_loop_over_pictures_lesions_and_patients(seed, image_weight, lesion_weight):
    made, drawn = objective("slimp", image_weight=image_weight, lesion_weight=lesion_weight), batch(seed)
    values = made.losses(made.contrasts(drawn))
    heads = {"image": made.inner.image, "lesion": made.middle.lesion, "patient": made.outer.patient}
    sides = {
        "image": (drawn.image_VBI[0], drawn.pictures.fields_BM, IMAGE_GROUPS),
        "lesion": (drawn.pictures.pooled_KX, drawn.lesion_KM, LESION_GROUPS),
        "patient": (drawn.phenotype_PX, drawn.patient_PM, PATIENT_GROUPS),
    }
    with torch.no_grad():
        term = {
            name: looped(heads[name].left(left), heads[name].right(right), 0.07, groups)
            for name, (left, right, groups) in sides.items()
        }
    others = lesion_weight * term["lesion"] + (1 - lesion_weight) * term["patient"]
    for name, value in term.items():
        assert float(values[f"loss_{name}"].detach()) == pytest.approx(value, rel=1e-4, abs=1e-4)
    expected = image_weight * term["image"] + (1 - image_weight) * others
    assert float(values["loss"].detach()) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_each_level_weighs_a_third_a_third_and_a_third_by_default():
    assert objective("slimp").weights == pytest.approx({"image": 1 / 3, "lesion": 1 / 3, "patient": 1 / 3})


def test_levels_whose_rows_are_all_alike_leave_their_weight_to_the_others():
    made, drawn = objective("slimp", image_weight=0.2, lesion_weight=0.25), batch()
    alike = dataclasses.replace(
        drawn,
        lesion_groups_K=torch.zeros(4, dtype=torch.int64),
        pictures=dataclasses.replace(drawn.pictures, groups_B=torch.zeros(6, dtype=torch.int64)),
    )
    values = made.losses(made.contrasts(alike))
    torch.testing.assert_close(values["loss"], values["loss_patient"])
    alike = dataclasses.replace(alike, lesion_groups_K=drawn.lesion_groups_K)
    values = made.losses(made.contrasts(alike))
    torch.testing.assert_close(values["loss"], 0.25 * values["loss_lesion"] + 0.75 * values["loss_patient"])


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("slimp", {"image", "lesion", "patient"}),
        ("slimp_paper", {"image", "lesion", "patient"}),
        ("inner_only", {"image"}),
        ("outer_only", {"patient"}),
        ("flat", {"flat"}),
        ("simclr", {"views"}),
    ],
)
def test_every_objective_contrasts_its_levels_and_gives_a_gradient_to_all_of_its_heads(name, terms):
    made = objective(name)
    values = made.losses(made.contrasts(batch(views=made.num_views)))
    assert set(values) == {"loss", *(f"loss_{term}" for term in terms)} and name in get_args(Objective)
    values["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in made.parameters())


def test_flat_contrast_joins_each_picture_with_the_metadata_of_its_lesion_and_patient():
    made, drawn = objective("flat"), batch()
    contrast = made.contrasts(drawn)["flat"]
    for row, lesion in enumerate(LESION_OF_IMAGE):
        patient = PATIENT_OF_LESION[lesion]
        joined = torch.cat([drawn.pictures.fields_BM[row], drawn.lesion_KM[lesion], drawn.patient_PM[patient]])
        torch.testing.assert_close(contrast.right_ND[row], made.flat.right(joined))
    metadata = [
        (IMAGE_GROUPS[row], LESION_GROUPS[lesion], PATIENT_GROUPS[PATIENT_OF_LESION[lesion]])
        for row, lesion in enumerate(LESION_OF_IMAGE)
    ]
    same = [[one == other for other in metadata] for one in metadata]
    assert (contrast.groups_N.unsqueeze(0) == contrast.groups_N.unsqueeze(1)).tolist() == same
