"""Small pictures, and one thread."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("small", max_examples=40, deadline=None)
settings.load_profile("small")


def skin(seed: int, side_px: int = 96) -> np.ndarray:
    """A picture with a blot and fine grain, uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side_px, :side_px] / side_px
    centre, radii, turn = rng.uniform(0.3, 0.7, 2), rng.uniform(0.08, 0.3, 2), rng.uniform(0, np.pi)
    across, along = x - centre[0], y - centre[1]
    across, along = across * np.cos(turn) + along * np.sin(turn), along * np.cos(turn) - across * np.sin(turn)
    blot = np.exp(-((across / radii[0]) ** 2) - (along / radii[1]) ** 2)[..., None]
    ground, dark = rng.uniform(150, 220, 3), rng.uniform(20, 90, 3)
    shading = rng.uniform(-25, 25) * x[..., None] + rng.uniform(-25, 25) * y[..., None]
    picture = ground * (1 - blot) + dark * blot + shading + rng.normal(0, 6, (side_px, side_px, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def make_skin() -> Callable[..., np.ndarray]:
    return skin


@pytest.fixture
def make_pictures() -> Callable[..., pd.DataFrame]:
    """Rows of pictures, each of its own patient, lesion and bytes."""

    def make(hashes: list[int], **columns: list) -> pd.DataFrame:
        numbers = range(len(hashes))
        rows = {name: [f"{name[0]}{n}" for n in numbers] for name in ("image_id", "patient_id", "lesion_id", "sha256")}
        rows |= {"perceptual_hash": np.array(hashes, dtype=np.uint64), "diagnosis": ["nevus"] * len(hashes)}
        return pd.DataFrame(rows | columns)

    return make
