"""Weights that fit a network and can be computed with, or the reason why not in words."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def load_weights(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a checkpoint's network its weights.

    Raises:
        ValueError: If they don't fit it; says which.
    """
    if unfit := misfit(network, state, same_types=True):
        raise ValueError(
            f"the weights don't fit the network that config.json and encoding.json describe: {unfit}. Were the "
            "files of several checkpoints mixed?"
        )
    network.load_state_dict(state)


def misfit(module: nn.Module, state: Mapping[str, Tensor], *, same_types: bool) -> str:
    """Say which tensors don't fit a module: absent, unknown, of another shape or (`same_types`) type; else empty."""
    own = module.state_dict()
    absent, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    differing = [
        f"{name} {tuple(state[name].shape)}, needed {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if state[name].shape != own[name].shape
    ]
    types = [
        f"{name} {_type(state[name])}, needed {_type(own[name])}"
        for name in sorted(own.keys() & state.keys())
        if same_types and state[name].dtype != own[name].dtype
    ]
    if not (absent or unknown or differing or types):
        return ""
    of_another_type = f", {len(types)} of another type {types[:3]}" if same_types else ""
    return (
        f"{len(absent)} tensors absent {absent[:3]}, {len(unknown)} unknown {unknown[:3]}, "
        f"{len(differing)} of another shape {differing[:3]}{of_another_type}"
    )


def not_finite(state: Mapping[str, Tensor]) -> str:
    """Name the first tensor that holds NaN or an infinite value; empty where there is none.

    A scalar may be infinite: some backbones keep bounds that bound nothing.
    """
    for name, value in state.items():
        if value.is_floating_point() and not (torch.isfinite(value) if value.ndim else ~torch.isnan(value)).all():
            return name
    return ""


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
