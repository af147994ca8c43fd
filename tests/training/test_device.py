"""The device that computes."""

import pytest
import torch

from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training import device
from slimp_pipeline.training.device import in_one_copy, pick_device, require_devices

TENSORS = [
    torch.arange(5),
    torch.arange(3.0) + 0.5,  # ends between two multiples of eight bytes
    torch.arange(6).view(2, 3),
    torch.ones(3).expand(2, 3),
    torch.empty(0, dtype=torch.int64),
    torch.tensor([True, False, True]),
]


def test_the_cpu_is_always_there():
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_fastest_that_is_there(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto").type == expected


def test_a_device_that_is_not_there_is_an_error_that_says_what_to_set(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device 'cuda' isn't available here\. Set device to one of: auto, cpu"):
        pick_device("cuda")


def test_a_launcher_that_is_not_installed_is_refused_with_what_to_install(monkeypatch):
    settings = TrainingParams(launcher="ray", device="cuda", devices=99)
    require_devices(settings)  # the cluster says what it has when it is asked
    monkeypatch.setattr(device, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'slimp-pipeline\[ray\]'"):
        require_devices(settings)


def test_on_the_cpu_tensors_stay_where_they_are():
    assert all(one is other for one, other in zip(in_one_copy(TENSORS, torch.device("cpu")), TENSORS, strict=True))


@pytest.mark.parametrize("order", [1, -1])
def test_what_comes_out_of_one_copy_is_what_went_in(order):
    class NotTheCpu:
        """Stands for a device: copies to it are copies here."""

        type = "somewhere"

    copies = []

    def to(self, _place, **_):
        copies.append(len(self))
        return self.clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "to", to)
        found = in_one_copy(TENSORS[::order], NotTheCpu())
    assert copies == [8 * sum(-(-t.numel() * t.element_size() // device._ALIGNED) for t in TENSORS)]
    for one, other in zip(found, TENSORS[::order], strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
