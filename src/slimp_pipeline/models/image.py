"""Image encoders: any timm backbone, and where its first weights come from."""

import json
import tempfile
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models import group_parameters
from timm.models._hub import save_config_for_hf
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slimp_pipeline.models.weights import misfit, not_finite
from slimp_pipeline.parameters import ImageEncoderParams

_WITH_STAGE_BEFORE = (99999,)  # in a group matcher of timm's
_HEADS = ("classifier.", "head.", "fc.", "head_dist.")  # classifiers of other tasks, dropped on loading


def build_image_encoder(settings: ImageEncoderParams, *, load_weights: bool = True) -> nn.Module:
    """Build a timm backbone without classifier: (B, 3, H, W) float -> (B, D) float.

    Args:
        settings: Name, input size, weights (`random`, `hub`, or the path of a safetensors file).
        load_weights: False leaves the weights random (they are overwritten by a checkpoint).

    Raises:
        ValueError: If timm has no such model, or it can't take these arguments.
        FileNotFoundError: If the weights file isn't there.
        ConnectionError: If the hub can't be reached.
    """
    from_hub = settings.weights == "hub" and load_weights
    arguments: dict[str, Any] = {"num_classes": 0, **(settings.arguments or {})}
    try:
        if _needs_image_size(settings):
            arguments["img_size"] = settings.image_size
        encoder: nn.Module = timm.create_model(settings.name, pretrained=from_hub, **arguments)
    except Exception as error:  # whatever timm's models raise where an argument doesn't suit them
        if not (from_hub and isinstance(error, OSError)):
            raise _why_not_built(settings, arguments, error) from error
        reason = str(error).partition("\n")[0]
        raise ConnectionError(
            f"the weights of '{settings.name}' can't be fetched from the model hub: {reason}. "
            "Without a network, download the model's safetensors file elsewhere and set "
            "model.image_encoder.weights to its path, or to `random`."
        ) from error
    if load_weights and settings.weights not in ("random", "hub"):
        _load_file(encoder, Path(settings.weights))
    freeze_stages(encoder, settings.num_trained_stages)
    # Convolutions follow their weights' layout, whatever their input's; this one is the faster on CPU and GPU.
    return encoder.to(memory_format=torch.channels_last) if is_convolutional(encoder) else encoder


def timm_config(settings: ImageEncoderParams) -> dict[str, Any]:
    """What timm reads of a `config.json`: architecture, its arguments, and how pictures come in.

    Pictures are seen whole: the longer side is cropped to the centre, nothing else is.
    """
    arguments: dict[str, Any] = {"num_classes": 0, **(settings.arguments or {})}
    size = (3, settings.image_size, settings.image_size)
    seen = {"input_size": size, "crop_pct": 1.0, "interpolation": "bilinear"}
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        encoder = build_image_encoder(settings, load_weights=False)
        path = Path(folder) / "config.json"
        save_config_for_hf(encoder, path, model_args=arguments, data_config=seen)
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for of_the_first_weights in ("tag", "license", "origin_url", "paper_ids", "paper_name", "notes"):
        config["pretrained_cfg"].pop(of_the_first_weights, None)
    return config


def normalisation(encoder: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the channel means and deviations that the backbone expects, each (3,)."""
    config = timm.data.resolve_data_config({}, model=encoder)
    return torch.tensor(config["mean"]), torch.tensor(config["std"])


def freeze_stages(encoder: nn.Module, num_trained_stages: int | None) -> None:
    """Freeze all but the last stages, as `stages` counts them.

    Raises:
        ValueError: If the backbone has fewer stages.
    """
    if num_trained_stages is None:
        return
    layers = stages(encoder)
    if num_trained_stages > len(layers):
        raise ValueError(f"num_trained_stages {num_trained_stages}: the backbone has {len(layers)} stages")
    parameters = dict(encoder.named_parameters())
    for layer in layers[: len(layers) - num_trained_stages]:
        for name in layer:
            if name in parameters:
                parameters[name].requires_grad_(False)


def stages(encoder: nn.Module) -> list[list[str]]:
    """Names of the weights of each stage, as timm's own layer groups count them: the stem first.

    What stands in none of the groups, as the norm behind ConvNeXt's blocks does, belongs to the last stage: timm's own
    matchers do so with the norm behind a ViT's blocks, and else it would be a stage without a block.
    """
    matcher = encoder.group_matcher(coarse=True)  # type: ignore[operator]
    if isinstance(matcher, dict):  # else it is a function, which has a group for each
        matcher = matcher | {"in_no_group": [(r"", _WITH_STAGE_BEFORE)]}
    groups = group_parameters(encoder, matcher, return_values=False)
    return [groups[key] for key in sorted(groups)]


def hold_statistics(encoder: nn.Module, *, keep_batch_norm: bool) -> None:
    """Put layers of an encoder in training mode back into evaluation mode, so that their statistics stay.

    Args:
        encoder: In training mode.
        keep_batch_norm: True: all batch-norm layers; else only layers whose parameters are frozen.
    """
    for module in encoder.modules():
        own = list(module.parameters(recurse=False))
        frozen = own and not any(parameter.requires_grad for parameter in own)
        if frozen or (keep_batch_norm and isinstance(module, _BatchNorm)):
            module.training = False  # of this module alone: what lies inside may train


def is_convolutional(encoder: nn.Module) -> bool:
    """Whether channels_last pays: more than the one convolution of a patch embedding."""
    return sum(isinstance(module, nn.Conv2d) for module in encoder.modules()) > 1


def _why_not_built(settings: ImageEncoderParams, arguments: dict[str, Any], error: Exception) -> ValueError:
    if not timm.is_model(settings.name):
        near = ", ".join(timm.list_models(f"*{settings.name.split('_')[0]}*")[:6])
        return ValueError(f"timm has no model '{settings.name}'. Near ones: {near or 'none'}")
    return ValueError(f"timm can't build '{settings.name}' with {arguments}: {str(error) or type(error).__name__}")


def _needs_image_size(settings: ImageEncoderParams) -> bool:
    """Whether the backbone must be told the size: it is built for one size, and that is another."""
    config = timm.get_pretrained_cfg(settings.name)
    return config is not None and config.fixed_input_size and config.input_size[-1] != settings.image_size


def _load_file(encoder: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"model.image_encoder.weights: no file {path.resolve()}. Put the safetensors file of the timm model "
            "there, set SLIMP_WEIGHTS to the folder that holds it, or set weights to `hub` or `random`."
        )
    try:
        state = load_file(path)
    except Exception as error:  # safetensors raises its own untyped errors
        raise ValueError(
            f"{path} is no safetensors file: {error}. Convert the weights; pickles aren't read."
        ) from error
    own = encoder.state_dict()
    state = {name: value for name, value in state.items() if name in own or not name.startswith(_HEADS)}
    if unfit := misfit(encoder, state, same_types=False):
        raise ValueError(
            f"{path} doesn't fit the model: {unfit}. Are model.image_encoder.name, image_size and arguments right?"
        )
    if name := not_finite(state):
        raise ValueError(f"{path}: tensor {name} holds NaN or infinite values. Fetch the file again.")
    encoder.load_state_dict(state)
