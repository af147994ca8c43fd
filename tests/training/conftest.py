"""A tiny cohort that can be learnt (the colour of a picture tells its site), and a tiny model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import settings
from torchvision.io import encode_png

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    ImageEncoderParams,
    MetadataEncoderParams,
    ModelParams,
    SamplerParams,
    TrainingParams,
)
from slimp_pipeline.tables.encoding import Encoding, fit_encoding
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.training.data import PatientLesions, patient_lesions

torch.set_num_threads(1)
settings.register_profile("small", max_examples=40, deadline=None)
settings.load_profile("small")

IMAGE_SIZE = 16
SITES = ["arm", "leg", "back", "face"]
FIELDS = {
    "diameter_mm": FieldSpec(kind="numeric", level="lesion", column="d"),
    "site": FieldSpec(kind="categorical", level="lesion", column="s"),
    "age_years": FieldSpec(kind="numeric", level="patient", column="a"),
    "sex": FieldSpec(kind="categorical", level="patient", column="x"),
}


FIELDS_OF_THREE = FIELDS | {
    "modality": FieldSpec(kind="categorical", level="image", column="m"),
    "hair": FieldSpec(kind="numeric", level="image", column="h"),
}


def with_pictures(lesions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Lesions with one to three pictures each, that differ in fields of their own."""
    rng = np.random.default_rng(seed)
    rows = lesions.loc[lesions.index.repeat(rng.integers(1, 4, len(lesions)))].reset_index(drop=True)
    count = len(rows)
    return rows.assign(
        image_id=[f"i{row:04d}" for row in range(count)],
        store_index=pd.array(range(count), dtype="Int64"),
        modality=rng.choice(["clinical", "dermoscopic"], count),
        hair=rng.integers(0, 5, count).astype(float),
    ).sample(frac=1, random_state=seed, ignore_index=True)


def draw_lesions(num_patients: int, seed: int = 0) -> pd.DataFrame:
    """Lesions of patients with one to four each, one picture per lesion."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, num_patients)
    patient = np.repeat(np.arange(num_patients), counts)
    count = len(patient)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{row:04d}" for row in range(count)],
            "lesion_id": [f"l{row:04d}" for row in range(count)],
            "patient_id": [f"p{number:03d}" for number in patient],
            "patient_known": True,
            "diagnosis": "nevus",
            "malignant": pd.array(rng.random(count) < 0.3, dtype="boolean"),
            "diameter_mm": rng.integers(2, 12, count).astype(float),
            "site": rng.choice(SITES, count),
            "age_years": (30.0 + 5 * (patient % 9)),
            "sex": np.where(patient % 2 == 0, "female", "male"),
            "store_index": pd.array(range(count), dtype="Int64"),
        }
    )
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


def write_store(lesions: pd.DataFrame, path: Path) -> ImageStore:
    """Write a store of flat pictures: hue by site, brightness by diameter."""
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], dtype=torch.float32)
    rows = []
    for row in lesions.sort_values("store_index").itertuples():
        colour = colours[SITES.index(row.site)] * (0.4 + row.diameter_mm / 20)
        picture = colour.clamp(0, 255).to(torch.uint8).view(3, 1, 1).expand(3, 20, 20).contiguous()
        rows.append(
            {"image_id": row.image_id, "encoded": encode_png(picture).numpy().tobytes(), "sha256": row.image_id}
        )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return ImageStore(path)


@dataclass(frozen=True)
class Tiny:
    """A tiny cohort ready for training."""

    lesions: pd.DataFrame
    patients: pd.DataFrame
    encoding: Encoding
    store: ImageStore

    def data(self, first_patient: int = 0, last_patient: int = 999) -> PatientLesions:
        """Lesions of the patients of these numbers."""
        number = self.lesions["patient_id"].str[1:].astype(int)
        rows = self.lesions[number.between(first_patient, last_patient)].reset_index(drop=True)
        return patient_lesions(rows, self.patients, self.encoding)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Twelve patients."""
    lesions = draw_lesions(12)
    patients, _ = build_patients(lesions, FIELDS)
    store = write_store(lesions, tmp_path_factory.mktemp("store") / "store.arrow")
    return Tiny(lesions, patients, fit_encoding(lesions, patients, FIELDS), store)


@pytest.fixture(scope="session")
def tiny_of_three(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Twelve patients whose lesions have one to three pictures: three levels."""
    lesions = with_pictures(draw_lesions(12))
    patients, _ = build_patients(lesions, FIELDS_OF_THREE)
    store = write_store(lesions, tmp_path_factory.mktemp("store") / "store.arrow")
    return Tiny(lesions, patients, fit_encoding(lesions, patients, FIELDS_OF_THREE), store)


@pytest.fixture(scope="session")
def model_settings() -> ModelParams:
    """The tiny nested model."""
    arguments = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    return ModelParams(
        image_encoder=ImageEncoderParams(name="vit_tiny_patch16_224", image_size=IMAGE_SIZE, arguments=arguments),
        metadata_encoder=MetadataEncoderParams(dim=16, depth=1, num_heads=2),
        projection_dim=8,
    )


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., TrainingParams]:
    """Training settings: three epochs of three steps on the CPU, unless changed."""

    def make(**changes: object) -> TrainingParams:
        plain: dict[str, object] = {
            "device": "cpu",
            "num_epochs": 3,
            "num_workers": 0,
            "checkpoint_every_steps": 2,
            "learning_rate": 3e-3,
            "sampler": SamplerParams(patients_per_batch=4, lesions_per_patient=3),
        }
        return TrainingParams(**(plain | changes))

    return make


@pytest.fixture(scope="session")
def make_model(tiny: Tiny, model_settings: ModelParams) -> Callable[..., SLIMP]:
    """The tiny model with the first weights of a seed."""

    def make(settings: TrainingParams, seed: int = 0, **image_encoder: object) -> SLIMP:
        torch.manual_seed(seed)
        changed = model_settings.image_encoder.model_copy(update=image_encoder)
        return SLIMP(model_settings.model_copy(update={"image_encoder": changed}), settings.loss, tiny.encoding)

    return make
