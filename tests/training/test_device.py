"""The device that computes."""

import pytest
import torch

from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training import device
from slimp_pipeline.training.device import pick_device, require_devices


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
