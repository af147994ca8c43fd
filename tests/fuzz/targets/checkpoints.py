"""Checkpoint folders that come from anywhere: config.json, encoding.json, heads of safetensors files."""

import json
import shutil
import tempfile
from pathlib import Path
from random import Random

from mutation import mutated_bytes, mutated_text, mutated_tree
from small_model import write_export
from target import Target

from slimp_pipeline.models.checkpoint import read_checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, MetadataEncoderParams, ModelParams

_FILES = ("config.json", "encoding.json", "model.safetensors", "slimp.safetensors")
_BUILT = 0.02  # of the checkpoints that can be read, since timm takes a while
_NAMES = [
    name
    for model in (ModelParams, LossParams, MetadataEncoderParams, ImageEncoderParams)
    for name in model.model_fields
]


def make() -> Target:
    whole = Path(tempfile.mkdtemp()) / "whole"
    whole.mkdir()
    write_export(whole)
    folder = whole.with_name("checkpoint")
    folder.mkdir()
    contents = {name: (whole / name).read_bytes() for name in _FILES}
    for name in _FILES:
        shutil.copy(whole / name, folder)
    trees = {name: json.loads(contents[name]) for name in _FILES[:2]}

    def draw(rng: Random) -> tuple[str, bytes | None, bool]:
        name = rng.choice(_FILES)
        built = rng.random() < _BUILT
        if rng.random() < 0.005:
            return name, None, built
        if name in trees:
            if rng.random() < 0.7:
                return name, json.dumps(mutated_tree(rng, [trees[name]], _NAMES)).encode(), built
            text = mutated_text(
                rng, [contents[name].decode()], ["{", "}", "[", ",", ":", '"', "NaN", "1e999", "[" * 9999]
            )
            return name, text.encode("utf-8", "surrogatepass"), built
        return (
            name,
            with_head(rng, contents[name]) if rng.random() < 0.7 else mutated_bytes(rng, [contents[name]]),
            built,
        )

    def call(drawn: tuple[str, bytes | None, bool]) -> None:
        name, content, built = drawn
        changed = folder / name
        changed.unlink(missing_ok=True)
        try:
            if content is not None:
                changed.write_bytes(content)
            checkpoint = read_checkpoint(folder)
            if built:
                PretrainedSLIMP(checkpoint)
        finally:
            changed.write_bytes(contents[name])

    return Target(draw, call, (ValueError, FileNotFoundError), share=20)


def with_head(rng: Random, content: bytes) -> bytes:
    """A safetensors file whose head, JSON behind its length, is changed."""
    length = int.from_bytes(content[:8], "little")
    head = json.dumps(mutated_tree(rng, [json.loads(content[8 : 8 + length])], ["dtype", "shape", "data_offsets"]))
    told = len(head) if rng.random() < 0.9 else rng.choice((0, 1, 2**40, 2**64 - 1, len(head) + 9))
    return told.to_bytes(8, "little") + head.encode() + content[8 + length :]
