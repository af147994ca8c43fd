"""Checkpoint folders: weights with all that is needed to use them; nothing in them is executed."""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from slimp_pipeline.parameters import LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them; plain tensors and settings."""

    state: dict[str, Tensor]
    model: ModelParams
    loss: LossParams
    encoding: Encoding
    facts: dict[str, Any] = field(default_factory=dict)  # cohort, partition, patients, settings


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `model.safetensors`, `config.json`, `encoding.json` and the model card `README.md`, atomically."""
    temporary = folder.with_name(f".unfinished-{folder.name}")
    previous = folder.with_name(f".previous-{folder.name}")
    for left_over in (temporary, previous):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in checkpoint.state.items()}, temporary / "model.safetensors")
    config = {
        "format": FORMAT,
        "model": checkpoint.model.model_dump(mode="json"),
        "loss": checkpoint.loss.model_dump(mode="json"),
        "facts": checkpoint.facts,
    }
    (temporary / "config.json").write_text(json.dumps(config, indent=2))
    (temporary / "encoding.json").write_text(checkpoint.encoding.model_dump_json(indent=2))
    (temporary / "README.md").write_text(_model_card(checkpoint))
    if folder.exists():
        os.replace(folder, previous)
    os.replace(temporary, folder)
    shutil.rmtree(previous, ignore_errors=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder; nothing in it is executed.

    Raises:
        FileNotFoundError: If it is no checkpoint folder; names the checkpoints below it, if any.
        ValueError: If it was written by a newer version.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        below = sorted(str(path.parent) for path in folder.glob("**/config.json") if not _is_unfinished(path))
        if len(below) == 1:
            return read_checkpoint(Path(below[0]))
        hint = "It holds: " + ", ".join(below) if below else "`kedro run --pipeline=pretrain` makes one."
        raise FileNotFoundError(f"{folder} is no checkpoint folder (config.json, model.safetensors). {hint}")
    config = json.loads((folder / "config.json").read_text())
    if config["format"] > FORMAT:
        raise ValueError(f"{folder} has format {config['format']}; this version reads up to {FORMAT}. Upgrade.")
    return Checkpoint(
        load_file(folder / "model.safetensors"),
        ModelParams.model_validate(config["model"]),
        LossParams.model_validate(config["loss"]),
        Encoding.model_validate_json((folder / "encoding.json").read_text()),
        config["facts"],
    )


def _is_unfinished(config: Path) -> bool:
    return config.parent.name.startswith((".unfinished-", ".previous-"))


def _model_card(checkpoint: Checkpoint) -> str:
    facts, encoder = checkpoint.facts, checkpoint.model.image_encoder
    fields = [*checkpoint.encoding.lesion.fields, *checkpoint.encoding.patient.fields]
    cohort, partition, fingerprint, images, patients = (
        facts.get(name, "?")
        for name in ("cohort", "partition", "cohort_fingerprint", "num_training_images", "num_training_patients")
    )
    labels = "malignant lesions were drawn first (positive sampling)" if facts.get("positive_sampling") else "none"
    return f"""---
library_name: timm
license: other
tags: [dermatology, skin-lesion, contrastive-learning]
---
# {encoder.name}, pre-trained by nested image-metadata contrast (SLIMP)

- Trained on: {images} images of {patients} patients of `{cohort}`, partition `{partition}`
  (fingerprint {fingerprint}).
- Image encoder: `{encoder.name}`, {encoder.image_size} px, arguments {encoder.arguments or "none"}, first weights
  `{Path(encoder.weights).name}`.
- Metadata fields: {", ".join(fields)}.
- Labels used in training: {labels}.
- Weights follow the licence of the cohort and of the first weights.

```python
import slimp_pipeline
encoder = slimp_pipeline.load("path/of/this/folder")
embedding = encoder.encode_images(["lesion.jpg"])
```

Research use only; no medical device. Method: SLIMP, arXiv:2505.23709.
"""
