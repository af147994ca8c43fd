"""Images encoded pass by pass: the same embeddings and gradients, in the memory of one pass."""

import weakref

import pytest
import torch
from torch import nn

from slimp_pipeline.models.image import build_image_encoder
from slimp_pipeline.models.passes import encode_in_passes
from slimp_pipeline.parameters import ImageEncoderParams

torch.set_num_threads(1)


class Backbone(nn.Module):
    """Two layers; notes how many images it was given, and how many of its hidden layers are alive at a time."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.last = nn.Linear(12, 6), nn.Sequential(*between), nn.Linear(6, 4)
        self.given: list[int] = []
        self.most_alive, self._hidden = 0, weakref.WeakSet()

    def forward(self, views):
        self.given.append(len(views))
        hidden = self.first(views.flatten(1))
        self._hidden.add(hidden.untyped_storage())
        self.most_alive = max(self.most_alive, self.alive)
        return self.last(self.between(hidden.sin()))

    @property
    def alive(self) -> int:
        return len(self._hidden)


def backbone(*between: nn.Module) -> Backbone:
    torch.manual_seed(0)
    return Backbone(*between)


def draw(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def gradients(encoder: nn.Module, embedding: torch.Tensor) -> list[torch.Tensor]:
    """Of a loss in which all images meet."""
    encoder.zero_grad(set_to_none=True)
    (embedding @ embedding.T).softmax(dim=1).diagonal().log().sum().backward()
    return [parameter.grad.clone() for parameter in encoder.parameters() if parameter.grad is not None]


def uncached(encoder: nn.Module, views: torch.Tensor, num_passes: int) -> torch.Tensor:
    """The same passes, all with their activations."""
    return torch.cat([encoder(part) for part in views.tensor_split(num_passes)])


@pytest.mark.parametrize("images_per_pass", [1, 2, 3, 4, 6])
def test_embeddings_and_gradients_are_those_of_one_pass(images_per_pass):
    encoder, views = backbone(), draw(7)
    whole = encoder(views)
    expected = gradients(encoder, whole)
    embedding = encode_in_passes(encoder, views, images_per_pass)
    torch.testing.assert_close(embedding, whole)
    torch.testing.assert_close(gradients(encoder, embedding), expected)


@pytest.mark.parametrize("images_per_pass", [None, 7, 100])
def test_a_batch_that_fits_is_encoded_once_bit_for_bit(images_per_pass):
    encoder, views = backbone(nn.Dropout(0.5)), draw(7)
    torch.manual_seed(3)
    expected = gradients(encoder, encoder(views))
    encoder.given.clear()
    torch.manual_seed(3)
    found = gradients(encoder, encode_in_passes(encoder, views, images_per_pass))
    assert all(map(torch.equal, found, expected))
    assert encoder.given == [7]


@pytest.mark.parametrize(
    ("count", "images_per_pass", "sizes"), [(7, 3, [3, 2, 2]), (8, 4, [4, 4]), (9, 8, [5, 4]), (3, 1, [1, 1, 1])]
)
def test_passes_are_never_larger_than_asked_for_and_never_a_small_rest(count, images_per_pass, sizes):
    encoder = backbone()
    gradients(encoder, encode_in_passes(encoder, draw(count), images_per_pass))
    assert encoder.given == [*sizes, *reversed(sizes)]  # and once more, the last first


def test_activations_of_one_pass_alone_are_alive():
    encoder = backbone()
    embedding = encode_in_passes(encoder, draw(12), 3)
    assert (encoder.alive, encoder.most_alive) == (0, 1)
    gradients(encoder, embedding)
    assert (encoder.alive, encoder.most_alive) == (0, 1)
    uncached(encoder, draw(12), 4)
    assert encoder.most_alive == 4  # what is counted can be counted


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(6)])
def test_a_pass_that_is_taken_again_is_the_same(layer):
    views, results = draw(11), []
    for encode in (lambda encoder: uncached(encoder, views, 3), lambda encoder: encode_in_passes(encoder, views, 4)):
        encoder = backbone(layer).train()
        layer.load_state_dict(nn.BatchNorm1d(6).state_dict() if isinstance(layer, nn.BatchNorm1d) else {})
        torch.manual_seed(5)
        found = gradients(encoder, encode(encoder))
        results.append([*found, *(value.clone() for value in encoder.buffers()), torch.rand(1)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_running_statistics_take_each_image_up_once():
    encoder = build_image_encoder(ImageEncoderParams(name="tf_efficientnet_lite0", image_size=32)).train()
    views = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = encoder.bn1.running_mean.clone()
    embedding = encode_in_passes(encoder, views, 3)
    counted = {name: value.clone() for name, value in encoder.named_buffers()}
    embedding.square().sum().backward()
    assert counted["bn1.num_batches_tracked"] == 3
    assert not torch.equal(counted["bn1.running_mean"], before)
    for name, value in encoder.named_buffers():
        assert torch.equal(value, counted[name]), name


def test_autocast_is_that_of_the_first_time():
    encoder, views = backbone(), draw(7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, embedding = uncached(encoder, views, 3), encode_in_passes(encoder, views, 3)
    assert embedding.dtype == torch.bfloat16
    expected = gradients(encoder, plain.float())
    torch.testing.assert_close(gradients(encoder, embedding.float()), expected, rtol=1e-2, atol=1e-3)


def test_without_a_graph_no_pass_is_taken_again():
    encoder, views = backbone(), draw(7)
    with torch.inference_mode():
        torch.testing.assert_close(encode_in_passes(encoder, views, 2), encoder(views))
    assert encoder.given == [2, 2, 2, 1, 7]


def test_a_frozen_encoder_is_not_run_again():
    encoder = backbone().requires_grad_(False)
    head = nn.Linear(4, 2)
    head(encode_in_passes(encoder, draw(6), 2)).sum().backward()
    assert encoder.given == [2, 2, 2]
    assert head.weight.grad.any()
