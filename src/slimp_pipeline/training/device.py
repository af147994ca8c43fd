"""The devices that compute."""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.parameters import Device, TrainingParams

_ALIGNED = 8  # bytes


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


def require_devices(settings: TrainingParams) -> None:
    """Refuse a training that asks for devices that aren't there; CPU processes may be any number.

    A Ray cluster says what it has when the training starts there.

    Raises:
        ValueError: If the device isn't available, or there are fewer of it than `devices`, or Ray isn't installed.
    """
    if settings.launcher == "ray":
        if find_spec("ray") is None:
            raise ValueError(
                "training.launcher: ray takes the Python package ray: pip install 'slimp-pipeline[ray]', or, in a "
                "checkout, pip install -e '.[ray]'"
            )
        return
    kind, wanted = pick_device(settings.device).type, settings.devices
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, wanted)
    if wanted > there:
        raise ValueError(
            f"training.devices {wanted}: this machine has {there} {kind} device{'s' if there > 1 else ''}. Set "
            f"training.devices to {there}{' or less' if there > 1 else ''}."
        )


def in_one_copy(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy small tensors from the CPU to a device, all at once and without waiting for it; on the CPU they stay."""
    if device.type == "cpu":
        return list(tensors)
    raw = [values.contiguous().flatten().view(torch.uint8) for values in tensors]
    together = torch.cat([F.pad(each, (0, -len(each) % _ALIGNED)) for each in raw])
    if device.type == "cuda":
        together = together.pin_memory()  # else the copy would wait for all that the device has still to do
    parts = together.to(device, non_blocking=True).split([-(-len(each) // _ALIGNED) * _ALIGNED for each in raw])
    return [
        part[: len(each)].view(values.dtype).view(values.shape)
        for part, each, values in zip(parts, raw, tensors, strict=True)
    ]
