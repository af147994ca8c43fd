"""Reconstruction of hidden metadata fields."""

import math

import pytest
import torch

from slimp_pipeline.losses.reconstruction import Reconstruction
from slimp_pipeline.tables.encoding import CategoricalEncoding, CheckboxEncoding, LevelEncoding, NumericEncoding

LEVEL = LevelEncoding(
    fields={
        "diameter_mm": NumericEncoding(mean=0, std=1, minimum=None, maximum=None),
        "site": CategoricalEncoding(categories=["arm", "back", "leg"]),
        "never": CategoricalEncoding(categories=[]),
        "symptom": CheckboxEncoding(options=["itch", "bleed"]),
    }
)
FIELDS = {
    "numeric": torch.tensor([[2.0], [float("nan")]]),
    "categorical": torch.tensor([[3, 0], [0, 0]]),
    "checkbox": torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
    "checkbox_known": torch.tensor([[True], [False]]),
}
NONE = torch.zeros(2, 4, dtype=torch.bool)


@pytest.fixture
def head() -> Reconstruction:
    made = Reconstruction(LEVEL, 5)
    with torch.no_grad():
        made.heads.weight.zero_()
        made.heads.bias.zero_()
    return made


@pytest.mark.parametrize(("field", "expected"), [(0, 2.0), (1, math.log(3)), (3, math.log(2))])
def test_each_kind_of_hidden_cell_costs_what_it_does_by_hand(head, field, expected):
    hidden = NONE.clone()
    hidden[0, field] = True
    assert head(torch.zeros(2, 5), FIELDS, hidden).item() == pytest.approx(expected)


def test_the_loss_is_the_mean_over_hidden_cells(head):
    hidden = NONE.clone()
    hidden[0, [0, 1, 3]] = True
    expected = (2.0 + math.log(3) + math.log(2)) / 3
    assert head(torch.zeros(2, 5), FIELDS, hidden).item() == pytest.approx(expected)


def test_nothing_hidden_costs_nothing_and_keeps_a_gradient(head):
    context = torch.ones(2, 5, requires_grad=True)
    loss = head(context, FIELDS, NONE)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(context.grad).all()


def test_a_level_without_fields_costs_nothing():
    empty = {
        "numeric": torch.empty(2, 0),
        "categorical": torch.empty(2, 0, dtype=torch.long),
        "checkbox": torch.empty(2, 0),
        "checkbox_known": torch.empty(2, 0, dtype=torch.bool),
    }
    made = Reconstruction(LevelEncoding(fields={}), 5)
    assert made(torch.ones(2, 5), empty, torch.zeros(2, 0, dtype=torch.bool)).item() == 0
