"""A pre-trained encoder: its checkpoint folder, and the object that encodes with it."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from slimp_pipeline.images.augment import plain_view
from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.images.decode import fit_canvas
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import IngestParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding, encode

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


class PretrainedSLIMP:
    """A pre-trained encoder in evaluation mode.

    Args:
        checkpoint: Weights and settings.
        device: Where it computes.
        batch_size: Images per forward pass.
    """

    def __init__(self, checkpoint: Checkpoint, device: str | torch.device = "cpu", batch_size: int = 64) -> None:
        self.checkpoint, self.device, self.batch_size = checkpoint, torch.device(device), batch_size
        self.model = SLIMP(checkpoint.model, checkpoint.loss, checkpoint.encoding, load_weights=False)
        self.model.load_state_dict(checkpoint.state)
        self.model.eval().to(self.device)

    def encode_images(self, paths: Sequence[str | Path]) -> np.ndarray:
        """Embed image files: float32 (N, D), the backbone's pooled features.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If an image can't be read; names the file and the reason.
        """
        batches = []
        for start in range(0, len(paths), self.batch_size):
            decoded = [_decode_file(Path(path)) for path in paths[start : start + self.batch_size]]
            image_size = self.checkpoint.model.image_encoder.image_size
            batches.append(self.encode_canvases(*fit_canvas(decoded, image_size)))
        num_features = int(self.model.image_encoder.num_features)  # type: ignore[arg-type]
        return np.concatenate(batches) if batches else np.empty((0, num_features), dtype=np.float32)

    @torch.inference_mode()
    def encode_canvases(self, canvas_B3SS: Tensor, side_px_B: Tensor) -> np.ndarray:
        """Embed decoded images as `images.decode` gives them: float32 (B, D)."""
        views = plain_view(
            canvas_B3SS.to(self.device),
            side_px_B.to(self.device),
            self.checkpoint.model.image_encoder.image_size,
            self.model.image_mean,  # type: ignore[arg-type]
            self.model.image_std,  # type: ignore[arg-type]
        )
        return self.model.image_encoder(views).float().cpu().numpy()

    def encode_metadata(self, frame: pd.DataFrame) -> np.ndarray:
        """Embed lesion-level metadata: float32 (N, M).

        Args:
            frame: One row per lesion; columns are the lesion fields of `encoding.json`, in the units of
                their names. Absent columns and empty cells count as not known.
        """
        return self._encode_fields(self.model.lesion_encoder, self.checkpoint.encoding.lesion, frame)

    def encode_patients(self, frame: pd.DataFrame) -> np.ndarray:
        """Embed patient-level metadata: float32 (N, M); one row per patient, columns as in `encode_metadata`."""
        return self._encode_fields(self.model.patient_encoder, self.checkpoint.encoding.patient, frame)

    @torch.inference_mode()
    def _encode_fields(self, encoder: torch.nn.Module, level: LevelEncoding, frame: pd.DataFrame) -> np.ndarray:
        fields = encode(level, frame)
        chunks = []
        for start in range(0, len(frame), 4096):
            part = {
                name: torch.from_numpy(values[start : start + 4096]).to(self.device) for name, values in fields.items()
            }
            chunks.append(encoder(part).float().cpu().numpy())
        dim = self.checkpoint.model.metadata_encoder.dim
        return np.concatenate(chunks) if chunks else np.empty((0, dim), dtype=np.float32)


def load(folder: str | Path, device: str = "cpu") -> PretrainedSLIMP:
    """Load a pre-trained encoder from its checkpoint folder."""
    return PretrainedSLIMP(read_checkpoint(Path(folder)), device)


def image_weights(folder: str | Path) -> dict[str, Tensor]:
    """Weights of the image encoder alone, in timm's own layout.

    They load into `timm.create_model(name, num_classes=0, **arguments)`; `config.json` states both.
    """
    prefix = "image_encoder."
    state = read_checkpoint(Path(folder)).state
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _is_unfinished(config: Path) -> bool:
    return config.parent.name.startswith((".unfinished-", ".previous-"))


def _decode_file(path: Path) -> bytes:
    try:
        return check_image(path.read_bytes(), IngestParams()).encoded
    except ImageRefused as refusal:
        raise ValueError(f"{path}: {refusal}") from refusal


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
