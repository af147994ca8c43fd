"""A fingerprint of an encoder: a picture and rows of metadata that go with it, and what they embed to.

Weights that were damaged, converted or mixed with another's settings give other embeddings: `load` refuses them. What
rests on an encoder's embeddings names its fingerprint, and isn't read beside another.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

if TYPE_CHECKING:
    from slimp_pipeline.models.pretrained import PretrainedSLIMP

PICTURE, FINGERPRINT = "fingerprint.png", "fingerprint.json"
FINGERPRINT_FILES = {PICTURE, FINGERPRINT}
_SIDE_PX = 256
_TOLERANCE = {"cpu": 1e-3, "cuda": 3e-2}  # of the embedding's length: machines round differently, CUDA is in bfloat16


def picture() -> bytes:
    """A PNG that no person is on: a dark, unevenly coloured spot on a light ground, the same bytes' pixels anywhere."""
    y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX].astype(np.int64)
    inside = 3 * (x - 120) ** 2 + 4 * (y - 135) ** 2 + 40 * ((x * y) % 97) < 24_000
    ground = np.stack([210 + (x + y) % 23, 165 + (x * 3 + y) % 19, 140 + (x + 5 * y) % 17], axis=-1)
    spot = np.stack([90 + (x * 7 + y * y) % 61, 55 + (x * y) % 43, 40 + (x + 11 * y) % 37], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(np.where(inside[..., None], spot, ground).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_fingerprint(encoder: "PretrainedSLIMP", folder: Path) -> None:
    """Write the picture, and what it and two rows of metadata embed to, into a checkpoint folder."""
    (folder / PICTURE).write_bytes(picture())
    rows = _rows(encoder)
    told: dict[str, Any] = {"rows": rows.to_dict("records")}
    told |= {name: embedding.tolist() for name, embedding in _embed(encoder, folder / PICTURE, rows).items()}
    (folder / FINGERPRINT).write_text(json.dumps(told), encoding="utf-8")


def fingerprint_digest(folder: Path) -> str:
    """SHA-256 of a folder's fingerprint, by which an encoder is told from others; "" where it has none."""
    file = folder / FINGERPRINT
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def check_fingerprint(encoder: "PretrainedSLIMP", folder: Path) -> None:
    """Embed again what a folder's fingerprint holds.

    Raises:
        ValueError: If something else comes out, or the fingerprint can't be read; says which part, and how far off.
    """
    try:
        told = json.loads((folder / FINGERPRINT).read_text(encoding="utf-8"))
        rows = pd.DataFrame(told.pop("rows"))
        expected = {name: np.asarray(values, dtype=np.float64) for name, values in told.items()}
        found = _embed(encoder, folder / PICTURE, rows)
        if found.keys() != expected.keys():
            raise ValueError(f"it holds {', '.join(sorted(expected))}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{FINGERPRINT} can't be checked: {error}. Copy the folder again from where it came"
        ) from error
    tolerance = _TOLERANCE["cpu" if encoder.device.type == "cpu" else "cuda"]
    for name, values in found.items():
        fits = expected[name].shape == values.shape
        length = max(float(np.linalg.norm(expected[name])), 1e-12)
        if not fits or not np.linalg.norm(values - expected[name]) <= tolerance * length:  # NaN compares false
            raise ValueError(
                f"the {name} of {FINGERPRINT} doesn't come out again: its weights, settings or encoding aren't those "
                "that it was made with, or a library computes otherwise. Copy the folder again from where it came"
            )


def _rows(encoder: "PretrainedSLIMP") -> pd.DataFrame:
    """A row of which all is known as far as the encoding tells values, and one of which nothing is."""
    known: dict[str, Any] = {}
    for level in encoder.checkpoint.encoding.levels.values():
        for name, field in level.fields.items():
            if field.kind == "numeric":
                known[name] = field.mean + 0.5 * field.std
            elif field.kind == "checkbox":
                known |= {column: place % 2 == 0 for place, column in enumerate(level.columns(name))}
            elif field.categories and not field.digested:
                known[name] = field.categories[-1]
    return pd.DataFrame([known, dict.fromkeys(known)]).astype(object).where(lambda frame: frame.notna(), None)


def _embed(encoder: "PretrainedSLIMP", image: Path, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        "image": encoder.encode_images([image])[0],
        "lesion": encoder.encode_metadata(rows),
        "patient": encoder.encode_patients(rows),
    }
