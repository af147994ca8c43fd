"""The device that computes."""

import torch

from slimp_pipeline.parameters import Device


def pick_device(name: Device) -> torch.device:
    """Return the device; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        ValueError: If the device that is asked for isn't there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there[name]:
        raise ValueError(f"device '{name}' isn't available here. Set device to one of: auto, cpu")
    return torch.device(name)
