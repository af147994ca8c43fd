"""The devices that compute."""

from importlib.util import find_spec

import torch

from slimp_pipeline.parameters import Device, TrainingParams


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
