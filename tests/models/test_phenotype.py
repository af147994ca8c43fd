"""Pooling of a patient's lesions."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.models.phenotype import GatedAttentionPooling, MaxPooling, MeanPooling, build_pooling
from slimp_pipeline.parameters import Pooling

ALL = get_args(Pooling)


def lesions_of(counts: list[int], seed: int, dim: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    patient = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    patient = patient[torch.randperm(len(patient), generator=generator)]
    return torch.randn(len(patient), dim, generator=generator), patient


def pooling(name: str, dim: int = 3):
    torch.manual_seed(0)
    return build_pooling(name, dim).eval()


COUNTS = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@given(counts=COUNTS, seed=st.integers(0, 1000))
def test_mean_and_max_equal_a_loop_over_patients_of_any_number_of_lesions(counts, seed):
    lesions, patient = lesions_of(counts, seed)
    own = [lesions[patient == p] for p in range(len(counts))]
    torch.testing.assert_close(MeanPooling(3)(lesions, patient, len(counts)), torch.stack([x.mean(0) for x in own]))
    torch.testing.assert_close(MaxPooling(3)(lesions, patient, len(counts)), torch.stack([x.amax(0) for x in own]))


@pytest.mark.parametrize("name", ALL)
@given(counts=COUNTS, seed=st.integers(0, 1000))
def test_a_phenotype_depends_on_its_own_lesions_alone_and_not_on_their_order(name, counts, seed):
    lesions, patient = lesions_of(counts, seed)
    pool = pooling(name)
    together = pool(lesions, patient, len(counts))
    assert together.shape == (len(counts), pool.out_dim)
    for number in range(len(counts)):
        own = lesions[patient == number].flip(0)
        alone = pool(own, torch.zeros(len(own), dtype=torch.long), 1)
        torch.testing.assert_close(alone[0], together[number], rtol=1e-4, atol=1e-5)


@given(counts=COUNTS, seed=st.integers(0, 1000))
def test_attention_equals_a_softmax_in_a_loop_and_its_weights_sum_to_one(counts, seed):
    lesions, patient = lesions_of(counts, seed)
    torch.manual_seed(0)
    pool = GatedAttentionPooling(3)
    weights = pool.attention(lesions, patient, len(counts))
    for number in range(len(counts)):
        own = pool.norm(lesions[patient == number])
        score = pool.score(torch.tanh(pool.value(own)) * torch.sigmoid(pool.gate(own))).squeeze(1)
        torch.testing.assert_close(weights[patient == number], score.softmax(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_patients_of_one_and_of_a_thousand_lesions_are_pooled_together(name):
    lesions, patient = lesions_of([1, 1000, 2], 0)
    pooled = pooling(name)(lesions, patient, 3)
    assert torch.isfinite(pooled).all()


@pytest.mark.parametrize("name", ["mean", "max", "gated_attention"])
def test_a_patients_only_lesion_is_its_phenotype(name):
    lesions = torch.tensor([[1.0, -2.5, 0.0]])
    torch.testing.assert_close(pooling(name)(lesions, torch.tensor([0]), 1), lesions)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_thousand_lesions_weigh_equally_in_any_precision(dtype):
    lesions = torch.ones(1003, 2, dtype=dtype)
    patient = torch.tensor([0] * 1000 + [1, 1, 1])
    assert MeanPooling(2)(lesions, patient, 2).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_each_lesion_gets_an_equal_part_of_the_mean_s_gradient():
    lesions = torch.randn(3, 1, requires_grad=True)
    MeanPooling(1)(lesions, torch.tensor([0, 1, 1]), 2).sum().backward()
    assert lesions.grad.view(-1).tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize("name", ["gated_attention", "set_transformer"])
def test_a_learnt_pooling_can_single_out_one_lesion_among_many(name):
    """One lesion of 30 is marked in some patients: the mean barely moves, attention learns to find it."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    lesions, marked = torch.randn(16 * 30, 4, generator=generator), torch.arange(16) % 2
    lesions[torch.arange(0, 16 * 30, 30)[marked == 1], 0] += 6
    patient = torch.repeat_interleave(torch.arange(16), 30)
    pool = build_pooling(name, 4)
    model = torch.nn.Linear(pool.out_dim, 2)
    optimizer = torch.optim.Adam([*pool.parameters(), *model.parameters()], lr=5e-3)
    for _ in range(250):
        loss = torch.nn.functional.cross_entropy(model(pool(lesions, patient, 16)), marked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2
