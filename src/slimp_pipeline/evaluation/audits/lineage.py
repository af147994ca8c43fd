"""What results rest on: versions, settings, code, seeds, device, packages; nothing of a machine or a person."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from slimp_pipeline.parameters import Device, EvaluationParams, FeatureParams
from slimp_pipeline.training.device import pick_device

_PACKAGES = ("slimp-pipeline", "torch", "torchvision", "timm", "scikit-learn", "numpy", "pandas", "kedro", "mlflow")


def note_what_it_rests_on(
    lineage: Mapping[str, str], features: FeatureParams, settings: EvaluationParams, *, adapted: bool
) -> dict[str, Any]:
    """State what an evaluation rests on.

    Args:
        lineage: What the run knows of itself: versions `run` and `pretrain`, digest of `settings`, `git_commit`.
        features: Seed of the splits.
        settings: Seed and device of the evaluation.
        adapted: Whether encoders were adapted in this run.

    Returns:
        The same; `adapt` (this run, or empty), `device`, `seeds` by what they are of, `packages` with their versions.
    """
    return {
        **lineage,
        "adapt": lineage["run"] if adapted else "",
        "device": _device_name(settings.device),
        "seeds": {"splits": features.seed, "evaluation": settings.seed},
        "packages": {"python": platform.python_version(), **_versions()},
    }


def _device_name(asked: Device) -> str:
    device = pick_device(asked)
    return f"{device.type}: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that isn't installed
            continue
    return found
