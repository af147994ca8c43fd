"""Low-rank updates: they start as nothing, alone are trained, and merge into plain weights."""

import pickle

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from slimp_pipeline.models.image import build_image_encoder
from slimp_pipeline.models.lora import LowRankUpdate, add_lora, merge_lora

UPDATES = (".parametrizations.weight.0.down", ".parametrizations.weight.0.up")


class Mixed(nn.Module):
    """Linear, convolution, depthwise convolution, batch norm."""

    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, bias=False)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6)
        self.norm = nn.BatchNorm2d(6)
        self.pointwise = nn.Conv2d(6, 4, 1)
        self.out = nn.Linear(4, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(self.pointwise(self.norm(self.depthwise(self.stem(images)))).mean(dim=(2, 3)))


@pytest.fixture(params=["vit", "mixed"])
def encoder(request, tiny_vit) -> nn.Module:
    torch.manual_seed(0)
    return (build_image_encoder(tiny_vit) if request.param == "vit" else Mixed()).eval()


def pictures() -> torch.Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def plain_copy(encoder: nn.Module, tiny_vit) -> nn.Module:
    return (Mixed() if isinstance(encoder, Mixed) else build_image_encoder(tiny_vit)).eval()


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def train(encoder: nn.Module, steps: int = 3) -> None:
    """Frozen parameters would be decayed as well, were they handed over as trained."""
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        (encoder(pictures()) - 1).pow(2).mean().backward()
        optimizer.step()


def test_updates_start_as_nothing(encoder):
    before = encoder(pictures())
    add_lora(encoder, rank=2)
    assert torch.equal(encoder(pictures()), before)


def test_updates_alone_train_and_the_weights_below_stay_bit_identical(encoder):
    before = state_of(encoder)
    add_lora(encoder, rank=2)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.endswith(UPDATES) for name in trained)
    start = state_of(encoder)
    train(encoder)
    after = state_of(encoder)
    assert {name for name in after if not torch.equal(after[name], start[name])} == trained
    below = {name.replace(".parametrizations.weight.original", ".weight"): after[name] for name in set(after) - trained}
    assert below.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in below.items())


def test_every_linear_and_every_ungrouped_convolution_layer_has_an_update():
    model = Mixed()
    add_lora(model, rank=2)
    updated = {name.partition(".")[0] for name, _ in model.named_parameters() if name.endswith(UPDATES)}
    assert updated == {"stem", "pointwise", "out"}


def test_a_depthwise_separable_backbone_has_updates_of_its_dense_layers_alone():
    backbone = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    dense = {n for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d) and m.groups == 1}
    add_lora(backbone, rank=1)
    updated = {name.partition(".parametrizations")[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert updated == dense
    assert "blocks.1.0.conv_dw" not in updated and "blocks.1.0.conv_pw" in updated


def test_merged_weights_give_what_the_updated_model_gave(encoder, tiny_vit):
    before = state_of(encoder)
    add_lora(encoder, rank=2)
    train(encoder)
    expected = encoder(pictures())
    merged = merge_lora(encoder, state_of(encoder))
    assert merged.keys() == before.keys()
    assert {name: value.shape for name, value in merged.items()} == {n: value.shape for n, value in before.items()}
    plain = plain_copy(encoder, tiny_vit)
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain(pictures()), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encoder(pictures()), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(expected, plain_of(before, encoder, tiny_vit)(pictures()), atol=1e-2)


def plain_of(state: dict[str, torch.Tensor], encoder: nn.Module, tiny_vit) -> nn.Module:
    plain = plain_copy(encoder, tiny_vit)
    plain.load_state_dict(state)
    return plain


def test_the_given_state_is_merged_and_not_the_last_weights(encoder):
    add_lora(encoder, rank=2)
    train(encoder, steps=1)
    best, expected = state_of(encoder), encoder(pictures())
    train(encoder, steps=3)
    assert not torch.allclose(encoder(pictures()), expected, atol=1e-3)
    merge_lora(encoder, best)
    torch.testing.assert_close(encoder(pictures()), expected, rtol=1e-5, atol=1e-6)


def test_without_updates_the_state_is_given_back_as_a_copy(encoder):
    state = {name: value + 1 for name, value in state_of(encoder).items()}
    merged = merge_lora(encoder, state)
    assert merged.keys() == state.keys()
    assert all(torch.equal(value, state[name]) and not value.requires_grad for name, value in merged.items())
    for value in merged.values():
        value.zero_()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())


def test_a_hand_computed_update_of_a_linear_layer():
    update = LowRankUpdate(torch.zeros(2, 3), rank=1)
    with torch.no_grad():
        update.down.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        update.up.copy_(torch.tensor([[10.0], [-1.0]]))
    expected = torch.tensor([[11.0, 21.0, 31.0], [0.0, -1.0, -2.0]])
    assert torch.equal(update(torch.ones(2, 3)), expected)


def test_an_update_of_a_convolution_is_the_sum_over_ranks_at_every_place_of_the_kernel():
    weight = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    update = LowRankUpdate(weight, rank=2)
    nn.init.normal_(update.up)
    updated = update(weight)
    down = update.down.view(2, 3, 2, 5)
    for o, i, y, x in torch.cartesian_prod(*(torch.arange(size) for size in weight.shape)).tolist():
        expected = weight[o, i, y, x] + sum(update.up[o, r] * down[r, i, y, x] for r in range(2))
        torch.testing.assert_close(updated[o, i, y, x], expected)


@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    ),
    rank=st.integers(1, 9),
)
def test_no_update_has_a_higher_rank_than_asked_for_nor_than_its_layer_can_have(shape, rank):
    torch.manual_seed(0)
    weight = torch.zeros(shape)
    update = LowRankUpdate(weight, rank)
    nn.init.normal_(update.up)
    expected = min(rank, shape[0], weight[0].numel())
    assert (update.down.shape, update.up.shape) == ((expected, weight[0].numel()), (shape[0], expected))
    assert update(weight).shape == shape
    assert int(torch.linalg.matrix_rank(update(weight).detach().flatten(1).double(), rtol=1e-5)) <= expected


def test_a_rank_larger_than_every_dimension_trains_and_merges():
    torch.manual_seed(0)
    model = Mixed().eval()
    add_lora(model, rank=1000)
    train(model)
    expected = model(pictures())
    plain = Mixed().eval()
    plain.load_state_dict(merge_lora(model, state_of(model)))
    torch.testing.assert_close(plain(pictures()), expected, rtol=1e-5, atol=1e-6)


def test_a_model_with_updates_can_be_sent_to_another_process():
    torch.manual_seed(0)
    model = Mixed()
    add_lora(model, 2)
    model.out.parametrizations.weight[0].up.data.normal_()
    sent = pickle.loads(pickle.dumps(model))
    mine, theirs = dict(model.named_parameters()), dict(sent.named_parameters())
    assert list(mine) == list(theirs) and list(model.state_dict()) == list(sent.state_dict())
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]) and value.requires_grad == theirs[name].requires_grad, name
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(model.eval()(images), sent.eval()(images))
    with torch.no_grad():
        sent.stem.parametrizations.weight[0].up.fill_(1)
    assert not torch.equal(model(images), sent(images))
    assert merge_lora(sent, sent.state_dict()).keys() == merge_lora(model, model.state_dict()).keys()
