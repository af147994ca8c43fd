"""Log-sum-exp over all pairs, tile by tile, and the losses that rest on it."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.losses import info_nce as pairs
from slimp_pipeline.losses import simclr as views
from slimp_pipeline.losses.tiles import pair_logsumexp, rows_per_tile

torch.set_num_threads(1)
CPU = torch.device("cpu")
GROUPS = {
    "none": lambda count: None,
    "singles": torch.arange,
    "of any size": lambda count: (torch.arange(count) ** 2) % 1013 * 10**12,  # numbers far apart, as `flat` makes them
    "one": lambda count: torch.zeros(count, dtype=torch.int64),
}


def rows(seed: int, count: int, dim: int = 6, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), left=st.integers(1, 9), right=st.integers(1, 9), tile=st.integers(1, 10))
def test_tiles_of_any_size_give_what_the_whole_matrix_gives(seed, left, right, tile):
    left_rows, right_rows = rows(seed, left), rows(seed + 1, right)
    matrix = left_rows @ right_rows.T
    of_rows, of_columns = pair_logsumexp(left_rows, right_rows, tile=tile)
    torch.testing.assert_close(of_rows, matrix.logsumexp(dim=1))
    torch.testing.assert_close(of_columns, matrix.logsumexp(dim=0))


@pytest.mark.parametrize("tile", [1, 2, 3, 5])
@pytest.mark.parametrize("skip_diagonal", [False, True])
def test_gradients_equal_finite_differences_in_double_precision(tile, skip_diagonal):
    inputs = rows(0, 5, 3, torch.float64), rows(1, 5 if skip_diagonal else 4, 3, torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: pair_logsumexp(a, b, skip_diagonal=skip_diagonal, tile=tile), inputs)


def test_a_row_is_left_out_against_itself_alone():
    same = rows(0, 7)
    matrix = (same @ same.T).fill_diagonal_(float("-inf"))
    of_rows, of_columns = pair_logsumexp(same, same, skip_diagonal=True, tile=3)
    torch.testing.assert_close(of_rows, matrix.logsumexp(dim=1))
    torch.testing.assert_close(of_columns, matrix.logsumexp(dim=0))


def test_logits_far_apart_lose_nothing():
    left, right = torch.tensor([[1e4], [-1e4]]), torch.tensor([[1.0], [-1.0], [0.5]])
    of_rows, of_columns = pair_logsumexp(left, right, tile=1)
    assert of_rows.tolist() == [1e4, 1e4]
    assert of_columns.tolist() == [1e4, 1e4, 5e3]


def gradients(loss: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


def unit(rows_ND: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows_ND, dim=1)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
@pytest.mark.parametrize("grouped", GROUPS)
def test_the_tiled_contrast_equals_the_plain_one_with_all_its_gradients(grouped, temperature):
    compare_contrasts(1030, grouped, temperature)


def compare_contrasts(count: int, grouped: str, temperature: float) -> None:
    groups, heat = GROUPS[grouped](count), torch.tensor(temperature, requires_grad=True)
    image, metadata = rows(0, count, 16), rows(1, count, 16)
    with torch.no_grad():
        metadata += 0.5 * image  # as after some training: pairs are nearer than chance
    plain, tiled = (
        gradients(form(unit(image), unit(metadata), heat, groups), image, metadata, heat)
        for form in (pairs._plain, pairs._tiled)
    )
    for one, other in zip(tiled, plain, strict=True):
        # Of differences between logits as large as 1 / temperature, in either form.
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("grouped", ["none", "of any size"])
def test_the_tiled_contrast_equals_the_plain_one_at_4096_rows(grouped):
    compare_contrasts(4096, grouped, 0.07)


def test_the_mean_over_a_large_group_keeps_its_digits():
    same = torch.full((200_000, 2), 0.3)
    mean = pairs._mean_logit_within_groups(same, same, torch.zeros(200_000, dtype=torch.int64))
    assert float(mean) == pytest.approx(2 * 0.3**2, rel=1e-6)


def test_a_batch_that_fits_a_tile_is_computed_as_ever_and_a_larger_one_by_tiles(monkeypatch):
    called = []
    for module in (pairs, views):
        for name in ("_plain", "_tiled"):
            monkeypatch.setattr(module, name, lambda rows_ND, *_, name=name: called.append((name, len(rows_ND))))
    heat, tile = torch.tensor(0.1), rows_per_tile(CPU)
    for count in (tile, tile + 1):
        pairs.info_nce(rows(0, count), rows(1, count), temperature=heat)
    for count in (tile // 2, tile // 2 + 1):
        views.nt_xent(rows(0, count), rows(1, count), temperature=heat)
    assert called == [("_plain", tile), ("_tiled", tile + 1), ("_plain", tile), ("_tiled", tile + 2)]


@pytest.mark.parametrize("count", [515, 1500])
def test_the_tiled_nt_xent_equals_the_plain_one_with_all_its_gradients(count):
    left, right, heat = rows(0, count, 16), rows(1, count, 16), torch.tensor(0.07, requires_grad=True)
    plain, tiled = (
        gradients(form(unit(torch.cat([left, right])), heat), left, right, heat)
        for form in (views._plain, views._tiled)
    )
    for one, other in zip(tiled, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("grouped", ["none", "of any size"])
def test_autocast_changes_nothing_of_large_batches_forward_and_backward(grouped):
    image, metadata, heat = rows(0, 1500), rows(1, 1500), torch.tensor(0.01, requires_grad=True)
    groups = GROUPS[grouped](1500)
    plain = gradients(pairs.info_nce(image, metadata, temperature=heat, groups_B=groups), image, metadata, heat)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = pairs.info_nce(image, metadata, temperature=heat, groups_B=groups)
        under = gradients(loss, image, metadata, heat)
    assert loss.dtype == torch.float32
    for one, other in zip(under, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


_MEASURED = """
import pathlib, torch
from slimp_pipeline.losses.info_nce import info_nce

def contrast(count):
    rows = torch.randn(2, count, 16)
    image, metadata = (side.clone().requires_grad_() for side in rows)
    info_nce(image, metadata, temperature=torch.tensor(0.1), groups_B=torch.arange(count) // 3).backward()
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if "VmHWM" in line)) / 1e3

before = contrast(2048)
print(contrast(6144) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_with_the_rows_and_not_with_their_square():
    done = subprocess.run([sys.executable, "-c", _MEASURED], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40  # MB; one matrix of all logits is 151
