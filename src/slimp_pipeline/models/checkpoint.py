"""Checkpoint folders: weights with all that is needed to use them; nothing in them is executed.

They have the layout of the Hugging Face hub for timm models, and hold more than timm reads:
`timm.create_model("local-dir:<folder>", pretrained=True)` is the image encoder.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slimp_pipeline.models.image import timm_config
from slimp_pipeline.models.model_card import model_card
from slimp_pipeline.models.pictures import read_alike
from slimp_pipeline.models.weights import not_finite
from slimp_pipeline.parameters import Block, IngestParams, LossParams, ModelParams
from slimp_pipeline.processes.whole import appearing_whole, remove, temporary_name
from slimp_pipeline.tables.encoding import Encoding

FORMAT = 2
CONFIG, ENCODING, CARD = "config.json", "encoding.json", "README.md"
IMAGE_WEIGHTS = "model.safetensors"  # in timm's own names
OTHER_WEIGHTS = "slimp.safetensors"  # of the metadata encoders, the pooling and the objective
IMAGE_ENCODER = "image_encoder."
_NEEDED = {IMAGE_WEIGHTS, OTHER_WEIGHTS, CONFIG, ENCODING}
CHECKPOINT_FILES = _NEEDED | {CARD}


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them; plain tensors and settings."""

    state: dict[str, Tensor]
    model: ModelParams
    loss: LossParams
    encoding: Encoding
    facts: dict[str, Any] = field(default_factory=dict)  # cohort, partition, patients, settings


class _Config(Block):
    """What `config.json` holds under `slimp`, beside what timm reads."""

    format: int
    model: ModelParams
    loss: LossParams
    facts: dict[str, Any]


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write weights, `config.json`, `encoding.json` and the model card `README.md`, whole or not at all.

    Args:
        checkpoint: What is written.
        folder: Absent, empty, or a checkpoint folder, which is replaced.

    Raises:
        FileExistsError: If something else is there; it stays as it is.
        OSError: If the disk is full; a checkpoint that was there stays.
    """
    folder = folder.resolve()  # of a link, the folder that it points to is replaced
    _refuse_to_replace_what_is_not_ours(folder)
    previous = folder.with_name(temporary_name(folder).name.replace(".unfinished-", ".previous-", 1))
    try:
        with appearing_whole(folder) as temporary:
            temporary.mkdir()
            _write_files(checkpoint, temporary)
            if folder.is_dir():
                os.replace(folder, previous)
    finally:
        if previous.is_dir() and not folder.exists():
            os.replace(previous, folder)
        remove(previous)


def checkpoint_folder(folder: str | Path) -> Path:
    """The folder itself where it is a checkpoint's, else the only one below it. Whatever lies beside it is read there.

    Raises:
        FileNotFoundError: If it is no checkpoint folder; names the checkpoints below it, if any.
    """
    folder = Path(folder)
    if (folder / CONFIG).is_file():
        return folder
    found = [path for path in folder.glob(f"**/{CONFIG}") if path.is_file() and not _is_unfinished(path, folder)]
    below = sorted(path.parent for path in found)
    if len(below) == 1:
        return below[0]
    hint = "It holds: " + ", ".join(map(str, below)) if below else "`kedro run --pipeline=pretrain` makes one."
    raise FileNotFoundError(f"{folder} is no checkpoint folder ({CONFIG}, {IMAGE_WEIGHTS}). {hint}")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder, or the only one below a folder; nothing in it is executed or fetched.

    Raises:
        FileNotFoundError: If it is no checkpoint folder; names the checkpoints below it, if any.
        ValueError: If it was written by a newer version, or a file of it is absent, damaged or not of a checkpoint;
            names the file and what is wrong with it.
    """
    folder = checkpoint_folder(folder)
    config = _read_config(folder)
    try:
        encoding = Encoding.model_validate_json(_read_text(folder, ENCODING))
    except ValidationError as error:
        raise _damaged(folder, ENCODING, f"is no encoding of metadata: {_in_words(error)}") from error
    return Checkpoint(_read_weights(folder), config.model, config.loss, encoding, config.facts)


def _refuse_to_replace_what_is_not_ours(folder: Path) -> None:
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {"no folder"}
    if names and not (_NEEDED <= names <= CHECKPOINT_FILES):
        foreign = ", ".join(sorted(names - CHECKPOINT_FILES)[:3] or sorted(names))
        raise FileExistsError(
            f"{folder} is no checkpoint folder ({foreign}), so it isn't replaced: what it holds may be yours. Move it "
            "away, or name another place."
        )


def _write_files(checkpoint: Checkpoint, folder: Path) -> None:
    first = Path(checkpoint.model.image_encoder.weights).name  # where this machine keeps them is nobody's business
    image_encoder = checkpoint.model.image_encoder.model_copy(update={"weights": first})
    model = checkpoint.model.model_copy(update={"image_encoder": image_encoder})
    config = _Config(format=FORMAT, model=model, loss=checkpoint.loss, facts=checkpoint.facts)
    image = {
        name.removeprefix(IMAGE_ENCODER): value.contiguous()
        for name, value in checkpoint.state.items()
        if name.startswith(IMAGE_ENCODER)
    }
    others = {k: v.contiguous() for k, v in checkpoint.state.items() if not k.startswith(IMAGE_ENCODER)}
    save_file(image, folder / IMAGE_WEIGHTS, {"format": "pt"})
    save_file(others, folder / OTHER_WEIGHTS, {"format": "pt"})
    timms = timm_config(checkpoint.model.image_encoder)
    texts = {
        CONFIG: json.dumps({**timms, "slimp": config.model_dump(mode="json")}, indent=2),
        ENCODING: checkpoint.encoding.model_dump_json(indent=2),
        CARD: model_card(checkpoint.model.image_encoder, checkpoint.encoding, checkpoint.facts),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _read_config(folder: Path) -> _Config:
    try:
        config = json.loads(_read_text(folder, CONFIG))
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, CONFIG, f"is no JSON: {error}") from error
    own = config.get("slimp", config) if isinstance(config, dict) else None  # format 1 had it at the top
    number = own.get("format") if isinstance(own, dict) else None
    if type(number) is not int:
        raise _damaged(folder, CONFIG, f"isn't a checkpoint's: its `format` is {number!r}, no whole number")
    if number != FORMAT:
        what_to_do = "Upgrade." if number > FORMAT else "Write it anew: `kedro run --pipeline=pretrain`."
        raise ValueError(f"{folder} has format {number}; this version reads {FORMAT}. {what_to_do}")
    try:
        config = _Config.model_validate(own)
        read_alike(config.facts, IngestParams())
        return config
    except ValidationError as error:
        raise _damaged(folder, CONFIG, f"can't be used: {_in_words(error)}") from error


def _read_weights(folder: Path) -> dict[str, Tensor]:
    image = {IMAGE_ENCODER + name: value for name, value in _read_tensors(folder, IMAGE_WEIGHTS).items()}
    others = _read_tensors(folder, OTHER_WEIGHTS)
    if both := image.keys() & others.keys():
        raise _damaged(folder, OTHER_WEIGHTS, f"holds the image encoder's {min(both)}, which {IMAGE_WEIGHTS} holds")
    return image | others


def _read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    if not (folder / name).is_file():
        raise _damaged(folder, name, "is missing")
    try:
        tensors: dict[str, Tensor] = load_file(folder / name)
        wrong = not_finite(tensors)
    except (
        SafetensorError,
        RuntimeError,
        TypeError,
        ValueError,
        KeyError,
    ) as error:  # of types or shapes that PyTorch lacks
        raise _damaged(folder, name, f"is truncated, or no safetensors file: {error}") from error
    if wrong:
        raise _damaged(folder, name, f"can't be computed with: tensor {wrong} holds NaN or infinite values")
    return tensors


def _read_text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _damaged(folder, name, "is missing") from error
    except UnicodeDecodeError as error:
        raise _damaged(folder, name, f"is no UTF-8 text: {error}") from error


def _damaged(folder: Path, name: str, what: str) -> ValueError:
    return ValueError(
        f"checkpoint {folder}: {name} {what}. Copy the folder again from where it came, or write it anew "
        "(`kedro run --pipeline=pretrain`)."
    )


def _in_words(error: ValidationError) -> str:
    """The first problems of a file, each with the setting that has it."""
    problems = [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        for problem in error.errors(include_url=False)
    ]
    return "; ".join(problems[:3])


def _is_unfinished(config: Path, folder: Path) -> bool:
    parts = config.relative_to(folder).parts
    return any(part.startswith((".unfinished-", ".previous-")) for part in parts)
