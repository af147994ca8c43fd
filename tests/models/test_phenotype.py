"""Pooling of a patient's lesions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.models.phenotype import mean_per_patient


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_the_mean_equals_a_loop_over_patients_of_any_number_of_lesions(counts, seed):
    generator = torch.Generator().manual_seed(seed)
    patient = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    patient = patient[torch.randperm(len(patient), generator=generator)]
    lesions = torch.randn(len(patient), 3, generator=generator)
    expected = torch.stack([lesions[patient == p].mean(0) for p in range(len(counts))])
    torch.testing.assert_close(mean_per_patient(lesions, patient, len(counts)), expected)


def test_a_patient_with_one_lesion_keeps_it_unchanged():
    lesions = torch.tensor([[1.0, -2.5]])
    assert mean_per_patient(lesions, torch.tensor([0]), 1).tolist() == [[1.0, -2.5]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_thousand_lesions_weigh_equally_in_any_precision(dtype):
    lesions = torch.ones(1003, 2, dtype=dtype)
    patient = torch.tensor([0] * 1000 + [1, 1, 1])
    pooled = mean_per_patient(lesions, patient, 2)
    assert pooled.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_each_lesion_gets_an_equal_part_of_the_gradient():
    lesions = torch.randn(3, 1, requires_grad=True)
    mean_per_patient(lesions, torch.tensor([0, 1, 1]), 2).sum().backward()
    assert lesions.grad.view(-1).tolist() == [1.0, 0.5, 0.5]
