"""A folder of pictures, and an exported model that knows lesions and has a classifier."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.handover.conftest import evaluated, make_export, photograph
from tests.models.conftest import checkpoint, encoding, lesion_level, model_settings, tiny_vit

__all__ = [
    "checkpoint",
    "encoding",
    "evaluated",
    "lesion_level",
    "make_export",
    "model_settings",
    "photograph",
    "tiny_vit",
]


@pytest.fixture
def exported(make_export: Callable[..., Path]) -> Path:
    return make_export()


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of small pictures that all differ."""

    def made(*names: str) -> Path:
        folder = tmp_path / "pictures"
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return folder

    return made
