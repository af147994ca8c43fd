"""A small cohort with embeddings, of which one tells the classes and one is noise."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import settings
from PIL import Image

from slimp_pipeline.evaluation.measures.measure import measure_all
from slimp_pipeline.evaluation.protocols.run import measure_low_shot, predict
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    EvaluationParams,
    ImageEncoderParams,
    LossParams,
    LowShotParams,
    MetadataEncoderParams,
    ModelParams,
    ProbeParams,
)
from slimp_pipeline.tables.encoding import CategoricalEncoding, Encoding, LevelEncoding, NumericEncoding

settings.register_profile("small", max_examples=40, deadline=None)
settings.load_profile("small")
torch.set_num_threads(1)  # sums then don't depend on how a batch is cut

CLASSES = ("BCC", "MEL", "NEV")


@dataclass
class SmallCohort:
    lesions: pd.DataFrame
    splits: pd.DataFrame
    embeddings: dict[str, np.ndarray]
    encodings: dict[str, Encoding]
    settings: EvaluationParams

    def target(self, **changes):
        """The cohort as protocols take it, with one thing or another changed."""
        known = {"rows": self.lesions, "splits": self.splits, "embeddings": self.embeddings}
        return TargetCohort(**{"name": "small", **known, "encodings": self.encodings, **changes})

    def run(self, *protocols):
        """Evaluate by these protocols; none named: by all, which takes seconds."""
        if protocols:
            self.settings = self.settings.model_copy(update={"protocols": list(protocols)})
        predictions, few = predict(self.target(), self.settings), measure_low_shot(self.target(), self.settings)
        results, differences = measure_all("small", predictions, few, pd.DataFrame(), self.settings)
        return results, differences, predictions


def build() -> SmallCohort:
    """60 patients with 2 images each, 3 folds of 18 patients and a hold-out of 6."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 2)
    diagnosis = np.array(CLASSES)[(patient + np.tile([0, 1], 60)) % 3]
    lesions = pd.DataFrame(
        {
            "image_id": [f"i{row:03d}" for row in range(120)],
            "patient_id": [f"p{number:02d}" for number in patient],
            "lesion_id": [f"l{number:02d}" for number in range(len(patient))],
            "diagnosis": diagnosis,
            "malignant": pd.array(diagnosis != "NEV", dtype="boolean"),
            "age_years": rng.normal(50, 10, 120),
            "region": rng.choice(["arm", "face"], 120),
        }
    )
    fold = np.where(patient < 54, patient // 2 % 3, -1)
    splits = lesions[["image_id", "patient_id"]].assign(split=np.where(fold < 0, "test", "train"), fold=fold)
    signal = np.eye(3)[pd.Categorical(diagnosis).codes]
    embeddings = {
        "slimp.all.image": 2 * signal + rng.normal(0, 0.7, (120, 3)),
        "slimp.all.lesion": rng.normal(size=(120, 4)),
        "slimp.all.patient": rng.normal(size=(120, 2)),
        "random_init.all.image": rng.normal(size=(120, 3)),
    }
    level = LevelEncoding(fields={"age_years": NumericEncoding(mean=50, std=10, minimum=None, maximum=None)})
    other = LevelEncoding(fields={"region": CategoricalEncoding(categories=["arm", "face"])})
    encoding = Encoding(lesion=other, patient=level, num_patients=36)
    names = ("fold_0", "fold_1", "fold_2", "holdout")
    settings = EvaluationParams(
        num_resamples=60,
        probe=ProbeParams(strengths=[0.1, 10.0], num_neighbours=5),
        low_shot=LowShotParams(shots_per_class=[1, 5], patient_shares=[0.25], num_draws=2),
    )
    as_float32 = {name: values.astype(np.float32) for name, values in embeddings.items()}
    return SmallCohort(lesions, splits, as_float32, dict.fromkeys(names, encoding), settings)


@pytest.fixture
def small_cohort() -> SmallCohort:
    return build()


@pytest.fixture(scope="session")
def small_results() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Results, differences and predictions on the small cohort as it is."""
    return build().run()


@pytest.fixture
def tiny_encoder():
    """Make an encoder of the small cohort's fields, with random weights."""

    def make(encoding, objective="slimp", name="vit_tiny_patch16_224", seed=0):
        arguments = {"patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2} if "vit" in name else None
        image = ImageEncoderParams(name=name, image_size=16 if arguments else 32, arguments=arguments)
        model = ModelParams(image_encoder=image, metadata_encoder=MetadataEncoderParams(dim=8), projection_dim=8)
        loss = LossParams(objective=objective)
        torch.manual_seed(seed)
        return Checkpoint(SLIMP(model, loss, encoding).state_dict(), model, loss, encoding, {"training": {"seed": 5}})

    return make


@pytest.fixture
def embedded(tiny_encoder):
    """Let an encoder embed the metadata of a cohort's rows; its images are noise. Gives the target."""

    def embed(cohort, objective="slimp", checkpoint=None):
        checkpoint = checkpoint or tiny_encoder(cohort.encodings["fold_0"], objective)
        encoder = PretrainedSLIMP(checkpoint)
        cohort.embeddings = {
            f"{objective}.all.image": np.random.default_rng(3).normal(size=(len(cohort.lesions), 16)).astype("float32"),
            f"{objective}.all.lesion": encoder.encode_metadata(cohort.lesions),
            f"{objective}.all.patient": encoder.encode_patients(cohort.lesions),
        }
        return cohort.target(encoders={objective: {"all": checkpoint}})

    return embed


@pytest.fixture
def telling_cohort(small_cohort):
    """The small cohort with a lesion-level field that tells the classes, and an age that tells nothing."""
    region = small_cohort.lesions["diagnosis"].map({"BCC": "face", "MEL": "arm", "NEV": "leg"})
    small_cohort.lesions["region"] = region
    level = LevelEncoding(fields={"region": CategoricalEncoding(categories=["arm", "face", "leg"])})
    encoding = small_cohort.encodings["fold_0"].model_copy(update={"lesion": level})
    small_cohort.encodings = dict.fromkeys(small_cohort.encodings, encoding)
    return small_cohort


@pytest.fixture
def picture_store(tmp_path):
    """Make a store of so many noisy pictures."""

    def make(num):
        rng, images = np.random.default_rng(0), []
        for number in range(num):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
            images.append({"image_id": f"i{number:03d}", "encoded": buffer.getvalue()})
        with pa.OSFile(str(tmp_path / "store.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
            writer.write_batch(pa.RecordBatch.from_pylist(images, SCHEMA))
        return ImageStore(tmp_path / "store.arrow")

    return make
