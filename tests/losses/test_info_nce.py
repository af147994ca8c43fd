"""Symmetric InfoNCE."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.losses.info_nce import info_nce

torch.set_num_threads(1)


def rows(seed: int, count: int, dim: int = 5) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def one(value: float) -> torch.Tensor:
    return torch.tensor(value)


def slow(image, metadata, temperature: float, groups=None) -> float:
    """The loss by its definition, anchor by anchor and pair by pair."""
    count = len(image)
    groups = list(range(count)) if groups is None else groups

    def cosine(a, b) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    def one_way(anchors, others) -> float:
        total = 0.0
        for i in range(count):
            scores = [math.exp(cosine(anchors[i], others[j]) / temperature) for j in range(count)]
            positives = [j for j in range(count) if groups[j] == groups[i]]
            total += sum(-math.log(scores[j] / sum(scores)) for j in positives) / len(positives)
        return total / count

    a, b = image.double().tolist(), metadata.double().tolist()
    return (one_way(a, b) + one_way(b, a)) / 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 7), temperature=st.sampled_from([0.05, 0.3, 2.0]))
def test_the_plain_form_equals_the_double_loop(seed, count, temperature):
    image, metadata = rows(seed, count), rows(seed + 1, count)
    expected = slow(image, metadata, temperature)
    assert float(info_nce(image, metadata, temperature=one(temperature))) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), groups=st.lists(st.integers(0, 3), min_size=2, max_size=7))
def test_the_form_with_several_positives_equals_the_double_loop(seed, groups):
    image, metadata = rows(seed, len(groups)), rows(seed + 1, len(groups))
    loss = info_nce(image, metadata, temperature=one(0.2), groups_B=torch.tensor(groups))
    assert float(loss) == pytest.approx(slow(image, metadata, 0.2, groups), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("grouped", [False, True])
def test_rows_that_all_coincide_cost_the_logarithm_of_their_number(count, grouped):
    same = torch.ones(count, 4)
    groups = torch.arange(count) if grouped else None
    assert float(info_nce(same, same, temperature=one(0.07), groups_B=groups)) == pytest.approx(math.log(count))


def test_two_orthogonal_pairs_cost_what_the_softmax_says():
    eye = torch.eye(2)
    assert float(info_nce(eye, eye, temperature=one(0.5))) == pytest.approx(math.log(1 + math.exp(-2)))


def test_orthogonal_pairs_cost_nothing_at_low_temperature_and_swapped_ones_much():
    eye = torch.eye(4)
    assert float(info_nce(eye, eye, temperature=one(0.01))) == pytest.approx(0.0, abs=1e-6)
    assert float(info_nce(eye, eye.roll(1, 0), temperature=one(0.01))) == pytest.approx(100.0, rel=1e-4)


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 1, 2, 0, 3])])
def test_swapping_the_views_changes_nothing(groups):
    image, metadata = rows(0, 6), rows(1, 6)
    first = info_nce(image, metadata, temperature=one(0.1), groups_B=groups)
    torch.testing.assert_close(first, info_nce(metadata, image, temperature=one(0.1), groups_B=groups))


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 1, 2, 0, 3])])
def test_the_order_of_rows_changes_nothing(groups):
    image, metadata, order = rows(0, 6), rows(1, 6), torch.tensor([3, 1, 5, 0, 2, 4])
    first = info_nce(image, metadata, temperature=one(0.1), groups_B=groups)
    shuffled = None if groups is None else groups[order]
    second = info_nce(image[order], metadata[order], temperature=one(0.1), groups_B=shuffled)
    torch.testing.assert_close(first, second)


def test_the_length_of_rows_changes_nothing():
    image, metadata = rows(0, 6), rows(1, 6)
    lengths = torch.tensor([1e-3, 0.5, 1.0, 3.0, 40.0, 1e3]).unsqueeze(1)
    first = info_nce(image, metadata, temperature=one(0.1))
    torch.testing.assert_close(first, info_nce(image * lengths, metadata / lengths, temperature=one(0.1)))


def test_groups_of_one_row_each_give_the_plain_form():
    image, metadata = rows(0, 6), rows(1, 6)
    plain = info_nce(image, metadata, temperature=one(0.1))
    torch.testing.assert_close(plain, info_nce(image, metadata, temperature=one(0.1), groups_B=torch.arange(6) + 40))


def test_rows_of_one_single_group_cost_least_where_all_are_alike():
    groups = torch.zeros(5, dtype=torch.int64)
    least = float(info_nce(torch.ones(5, 3), torch.ones(5, 3), temperature=one(0.1), groups_B=groups))
    assert least == pytest.approx(math.log(5), rel=1e-5)
    for seed in range(10):
        other = float(info_nce(rows(seed, 5), rows(seed + 50, 5), temperature=one(0.1), groups_B=groups))
        assert math.isfinite(other)
        assert other > least


def test_a_row_with_the_anchors_metadata_is_no_negative():
    metadata = torch.eye(3)[[0, 0, 1]]
    image = metadata.clone()
    groups = torch.tensor([0, 0, 1])
    grouped = float(info_nce(image, metadata, temperature=one(0.01), groups_B=groups))
    # In the best of worlds the plain form still costs log 2 for each of the two that coincide.
    assert grouped == pytest.approx(float(info_nce(image, metadata, temperature=one(0.01))), abs=1e-5)
    image = image.clone().requires_grad_()
    info_nce(image, metadata, temperature=one(0.5), groups_B=groups).backward()
    pull = image.grad[0] @ (torch.eye(3)[0] - torch.eye(3)[1])
    assert float(pull) <= 1e-7  # descent never drives the anchor away from its group


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 1, 2])])
def test_gradients_equal_finite_differences(groups):
    image, metadata = rows(0, 4, 3), rows(1, 4, 3)
    log_temperature = torch.tensor(-1.0)
    inputs = [tensor.requires_grad_() for tensor in (image, metadata, log_temperature)]

    def loss() -> torch.Tensor:
        return info_nce(image, metadata, temperature=log_temperature.exp(), groups_B=groups)

    loss().backward()
    for tensor in inputs:
        for place in range(tensor.numel()):
            values = []
            for change in (1e-2, -1e-2):
                with torch.no_grad():
                    tensor.view(-1)[place] += change
                    values.append(float(loss()))
                    tensor.view(-1)[place] -= change
            slope = (values[0] - values[1]) / 2e-2
            assert float(tensor.grad.view(-1)[place]) == pytest.approx(slope, rel=0.02, abs=2e-3)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_loss_is_float32_under_autocast_and_for_half_precision_rows(grouped):
    image, metadata = rows(0, 8), rows(1, 8)
    groups = torch.arange(8) // 2 if grouped else None
    expected = info_nce(image, metadata, temperature=one(0.01), groups_B=groups)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(image, metadata, temperature=one(0.01), groups_B=groups)
        half = info_nce(image.bfloat16(), metadata.bfloat16(), temperature=one(0.01), groups_B=groups)
    assert loss.dtype == half.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("image", "metadata", "temperature", "message"),
    [
        (torch.ones(3, 4), torch.ones(3, 5), 0.1, r"got \(3, 4\) and \(3, 5\)"),
        (torch.ones(3, 4), torch.ones(2, 4), 0.1, r"got \(3, 4\) and \(2, 4\)"),
        (torch.ones(4), torch.ones(4), 0.1, r"two \(B, D\) inputs"),
        (torch.ones(1, 4), torch.ones(1, 4), 0.1, "at least two rows"),
        (torch.ones(2, 4), torch.ones(2, 4), 0.0, "temperature must be positive, got 0.0"),
        (torch.ones(2, 4), torch.ones(2, 4), -1.0, "temperature must be positive, got -1.0"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(image, metadata, temperature, message):
    with pytest.raises(ValueError, match=message):
        info_nce(image, metadata, temperature=one(temperature))
