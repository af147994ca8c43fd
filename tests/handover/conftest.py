"""Models to hand on: the tiny nested model of the models' tests, and a folder with all that an export holds."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.models.conftest import checkpoint, encoding, lesion_level, model_settings, tiny_vit

from slimp_pipeline.handover.exported import Evaluated, export
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, ExportParams, ProbeParams

__all__ = ["checkpoint", "encoding", "lesion_level", "model_settings", "tiny_vit"]

SETTINGS = EvaluationParams(probe=ProbeParams(strengths=[1, 10], num_inner_folds=3))
NOTHING_SEEN = pd.DataFrame({"partition": ["all"], "patient_id": ["somebody else"]})


@pytest.fixture
def evaluated() -> Evaluated:
    """60 lesions of 30 patients, two diagnoses that lie apart."""
    rng = np.random.default_rng(0)
    number = np.arange(60)
    rows = pd.DataFrame(
        {
            "image_id": [f"img{i:02d}" for i in number],
            "patient_id": [f"patient-{i // 2}" for i in number],
            "diagnosis": np.where(number % 3 == 0, "MEL", "NEV"),
            "malignant": number % 3 == 0,
        }
    )
    image_ND = rng.normal(size=(60, 32)).astype(np.float32)
    image_ND[number % 3 == 0, 0] += 6
    splits = rows[["image_id", "patient_id"]].assign(split="cv", fold=number // 2 % 3)
    results = pd.DataFrame(
        {
            "cohort": "clinic",
            "method": "slimp",
            "features": "image",
            "protocol": "linear_probe",
            "draw": "all",
            "metric": ["balanced_accuracy", "macro_f1"],
            "value": [0.7, 0.1],
            "ci_low": [0.6, 0.0],
            "ci_high": [0.8, 0.2],
        }
    )
    return Evaluated("clinic", rows, splits, {"slimp.all.image": image_ND}, results)


@pytest.fixture
def make_export(checkpoint: Checkpoint, evaluated: Evaluated, tmp_path: Path) -> Callable[..., Path]:
    """Export the tiny model, or as `retrained` one with other weights; without ONNX unless asked for."""

    def made(name: str = "exported_model", *, onnx: bool = False, with_evaluation: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        retrained = {k: 1.01 * v if v.is_floating_point() else v for k, v in checkpoint.state.items()}
        state = retrained if name == "retrained" else checkpoint.state
        of_others = replace(checkpoint, state=state, facts=checkpoint.facts | {"cohort": "tbp", "licence": "CC BY 4.0"})
        given = evaluated if with_evaluation else None
        export({"all": of_others}, NOTHING_SEEN, given, SETTINGS, ExportParams(onnx=onnx)).write(folder)
        return folder

    return made


@pytest.fixture
def photograph() -> bytes:
    """A JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()
