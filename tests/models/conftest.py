"""Tiny models: encodings of a few fields, a backbone of one block, an image store of a few pictures."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import settings
from PIL import Image

from slimp_pipeline.images.packing import pack
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint, write_checkpoint
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    ImageEncoderParams,
    IngestParams,
    LossParams,
    MetadataEncoderParams,
    ModelParams,
)
from slimp_pipeline.tables.encoding import (
    CategoricalEncoding,
    CheckboxEncoding,
    Encoding,
    LevelEncoding,
    NumericEncoding,
)

torch.set_num_threads(1)
settings.register_profile("small", max_examples=40, deadline=None)
settings.load_profile("small")


@pytest.fixture(scope="session")
def lesion_level() -> LevelEncoding:
    """Two numbers, two categories, two checkbox groups."""
    return LevelEncoding(
        fields={
            "diameter_mm": NumericEncoding(mean=4.0, std=2.0, minimum=0.0, maximum=100.0),
            "depth_mm": NumericEncoding(mean=1.0, std=1.0, minimum=0.0, maximum=None),
            "site": CategoricalEncoding(categories=["arm", "back", "leg"]),
            "texture": CategoricalEncoding(categories=["flat", "raised"]),
            "symptom": CheckboxEncoding(options=["itch", "bleed"]),
            "change": CheckboxEncoding(options=["grew", "colour", "shape"]),
        }
    )


@pytest.fixture(scope="session")
def encoding(lesion_level: LevelEncoding) -> Encoding:
    """The lesion level above, and age and sex of patients."""
    patient = LevelEncoding(
        fields={
            "age_years": NumericEncoding(mean=50.0, std=10.0, minimum=0.0, maximum=120.0),
            "sex": CategoricalEncoding(categories=["female", "male"]),
        }
    )
    return Encoding(lesion=lesion_level, patient=patient, num_patients=9)


@pytest.fixture(scope="session")
def tiny_vit() -> ImageEncoderParams:
    """A vision transformer of one block, at 16 px."""
    arguments = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    return ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, arguments=arguments)


@pytest.fixture(scope="session")
def model_settings(tiny_vit: ImageEncoderParams) -> ModelParams:
    """The tiny nested model."""
    metadata = MetadataEncoderParams(dim=16, depth=1, num_heads=2)
    return ModelParams(image_encoder=tiny_vit, metadata_encoder=metadata, projection_dim=8)


@pytest.fixture
def checkpoint(model_settings: ModelParams, encoding: Encoding) -> Checkpoint:
    """A checkpoint with random weights."""
    torch.manual_seed(0)
    model = SLIMP(model_settings, LossParams(), encoding)
    facts = {
        "cohort": "clinic",
        "partition": "fold_0",
        "cohort_fingerprint": "abc123",
        "num_training_images": 12,
        "num_training_patients": 5,
    }
    return Checkpoint(model.state_dict(), model_settings, LossParams(), encoding, facts)


@pytest.fixture
def picture_files(tmp_path: Path) -> list[Path]:
    """Pictures of several sizes and formats, one with an EXIF orientation."""
    rng = np.random.default_rng(0)
    files = []
    for number, (height, width, suffix) in enumerate([(20, 20, "png"), (40, 24, "jpg"), (18, 30, "jpg")]):
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        exif = Image.Exif()
        if number == 2:
            exif[0x0112] = 6
        files.append(tmp_path / f"picture{number}.{suffix}")
        picture.save(files[-1], exif=exif)
    return files


@pytest.fixture
def pack_files(tmp_path: Path) -> Callable[[list[Path]], ImageStore]:
    """Pack picture files into an image store."""

    def packed(files: list[Path], settings: IngestParams | None = None) -> ImageStore:
        images = pd.DataFrame({"image_id": [f.stem for f in files], "path": [str(f) for f in files], "key": ""})
        images = images.assign(size_bytes=0, mtime_ns=0)
        batches = list(pack(images, settings or IngestParams(num_processes=1)))
        buffer = io.BytesIO()
        with pa.ipc.new_file(buffer, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        (tmp_path / "store.arrow").write_bytes(buffer.getvalue())
        return ImageStore(tmp_path / "store.arrow")

    return packed


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    write_checkpoint(checkpoint, tmp_path / "encoders" / "fold_0")
    return tmp_path / "encoders" / "fold_0"
