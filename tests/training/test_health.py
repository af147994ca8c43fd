"""Embedding health."""

import math

import pytest
import torch

from slimp_pipeline.training import health
from slimp_pipeline.training.health import alignment, effective_rank, retrieval_accuracy, uniformity


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 1e6])
def test_identical_rows_have_an_effective_rank_of_one(scale):
    assert effective_rank(torch.full((7, 4), scale) * torch.tensor([0.1, 0.3, 1.0, 0.7])) == 1.0


def test_rows_on_a_line_have_an_effective_rank_of_one():
    line = torch.arange(6.0).unsqueeze(1) * torch.tensor([[1.0, 2.0, -1.0]])
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-6)


def test_opposite_orthonormal_rows_have_the_full_effective_rank():
    assert effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(4.0)


def test_an_orthonormal_set_loses_one_rank_to_its_mean():
    assert effective_rank(torch.eye(5)) == pytest.approx(4.0)


def test_unequal_spread_counts_by_its_entropy():
    rows = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(rows) == pytest.approx(expected)


def test_uniformity_is_zero_when_collapsed_and_falls_to_its_closed_form():
    assert uniformity(torch.ones(4, 3)) == 0.0
    assert uniformity(torch.eye(4)) == pytest.approx(-4.0)  # |x - y|^2 = 2 for every pair
    assert uniformity(torch.tensor([[1.0, 0.0], [-5.0, 0.0]])) == pytest.approx(-8.0)


@pytest.mark.parametrize("num_rows", [2, 10, 11, 20, 33])
def test_uniformity_is_the_same_block_by_block(monkeypatch, num_rows):
    monkeypatch.setattr(health, "_BLOCK_ROWS", 10)
    rows = torch.randn(num_rows, 5, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(rows.double())
    pairs = [(-2 * (unit[i] - unit[j]).square().sum()).exp() for i in range(num_rows) for j in range(i)]
    assert uniformity(rows) == pytest.approx(float(torch.stack(pairs).mean().log()), abs=1e-12)


@pytest.mark.parametrize(("second", "expected"), [([2.0, 0.0], 0.0), ([0.0, 1.0], 2.0), ([-3.0, 0.0], 4.0)])
def test_alignment_is_the_squared_distance_of_normalised_pairs(second, expected):
    first = torch.tensor([[1.0, 0.0]] * 3)
    assert alignment(first, torch.tensor([second] * 3)) == pytest.approx(expected)


def test_retrieval_counts_a_row_of_the_same_group_as_found():
    query = torch.eye(4)
    key = torch.eye(4)[[1, 0, 2, 3]]
    assert retrieval_accuracy(query, key, torch.arange(4)) == 0.5
    assert retrieval_accuracy(query, key, torch.tensor([5, 5, 6, 7])) == 1.0
    assert retrieval_accuracy(query, key.roll(1, 0), torch.tensor([0, 1, 2, 3])) == 0.25
