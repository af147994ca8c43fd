"""The nested loss."""

import pytest
import torch

from slimp_pipeline.losses.info_nce import info_nce
from slimp_pipeline.losses.nested import nested_loss
from slimp_pipeline.models.slimp import NestedProjections
from slimp_pipeline.parameters import LossParams

torch.set_num_threads(1)
LESION_GROUPS, PATIENT_GROUPS = torch.tensor([0, 1, 1, 2, 3, 3]), torch.tensor([0, 0, 1])


@pytest.fixture
def projections() -> NestedProjections:
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(count, 4, generator=generator) for count in (6, 6, 3, 3)]
    return NestedProjections(*draw, torch.tensor(0.1), torch.tensor(0.3))


def loss_of(projections, **settings):
    return nested_loss(projections, LESION_GROUPS, PATIENT_GROUPS, LossParams(**settings))


def test_a_weight_of_one_or_zero_picks_one_level(projections):
    lesions_only, patients_only = (loss_of(projections, lesion_weight=weight) for weight in (1.0, 0.0))
    assert lesions_only.total == lesions_only.lesion
    assert patients_only.total == patients_only.patient
    assert lesions_only.lesion != lesions_only.patient


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_total_is_linear_in_the_weight(projections, weight):
    loss = loss_of(projections, lesion_weight=weight)
    torch.testing.assert_close(loss.total, weight * loss.lesion + (1 - weight) * loss.patient)
    torch.testing.assert_close(loss.lesion, loss_of(projections).lesion)


@pytest.mark.parametrize("multi_positive", [False, True])
def test_each_level_has_its_own_pairs_groups_and_temperature(projections, multi_positive):
    loss = loss_of(projections, multi_positive=multi_positive)
    p = projections
    lesion = info_nce(
        p.image_BD,
        p.lesion_metadata_BD,
        temperature=torch.tensor(0.1),
        groups_B=LESION_GROUPS if multi_positive else None,
    )
    patient = info_nce(
        p.phenotype_PD,
        p.patient_metadata_PD,
        temperature=torch.tensor(0.3),
        groups_B=PATIENT_GROUPS if multi_positive else None,
    )
    assert (loss.lesion, loss.patient) == (lesion, patient)
