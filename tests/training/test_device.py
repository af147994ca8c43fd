"""What is sent to a device."""

import pytest
import torch

from slimp_pipeline.training import device as module
from slimp_pipeline.training.device import in_one_copy

TENSORS = [
    torch.arange(5),
    torch.arange(3.0) + 0.5,  # ends between two multiples of eight bytes
    torch.arange(6).view(2, 3),
    torch.ones(3).expand(2, 3),
    torch.empty(0, dtype=torch.int64),
    torch.tensor([True, False, True]),
]


def test_on_the_cpu_tensors_stay_where_they_are():
    assert all(one is other for one, other in zip(in_one_copy(TENSORS, torch.device("cpu")), TENSORS, strict=True))


@pytest.mark.parametrize("order", [1, -1])
def test_what_comes_out_of_one_copy_is_what_went_in(order):
    class NotTheCpu:
        """Stands for a device: copies to it are copies here."""

        type = "somewhere"

    copies = []

    def to(self, device, **_):
        copies.append(len(self))
        return self.clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "to", to)
        found = in_one_copy(TENSORS[::order], NotTheCpu())
    assert copies == [8 * sum(-(-t.numel() * t.element_size() // module._ALIGNED) for t in TENSORS)]
    for one, other in zip(found, TENSORS[::order], strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
