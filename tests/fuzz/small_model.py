"""The smallest export folder: a transformer of one block, five metadata fields, known lesions, a classifier."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from slimp_pipeline.handover.exported import Evaluated, export
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    EvaluationParams,
    ExportParams,
    ImageEncoderParams,
    LossParams,
    MetadataEncoderParams,
    ModelParams,
    ProbeParams,
)
from slimp_pipeline.tables.encoding import (
    CategoricalEncoding,
    CheckboxEncoding,
    Encoding,
    LevelEncoding,
    NumericEncoding,
)


def write_export(folder: Path) -> None:
    """Write it into an empty folder."""
    torch.manual_seed(0)
    arguments = {"patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    image = ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, arguments=arguments)
    settings = ModelParams(
        image_encoder=image, metadata_encoder=MetadataEncoderParams(dim=8, num_heads=2), projection_dim=8
    )
    lesion = LevelEncoding(
        fields={
            "diameter_mm": NumericEncoding(mean=4.0, std=2.0, minimum=0.0, maximum=100.0),
            "site": CategoricalEncoding(categories=["arm", "back"]),
            "symptom": CheckboxEncoding(options=["itch", "bleed"]),
        }
    )
    patient = LevelEncoding(
        fields={
            "age_years": NumericEncoding(mean=50.0, std=10.0, minimum=0.0, maximum=120.0),
            "sex": CategoricalEncoding(categories=["female", "male"]),
        }
    )
    encoding = Encoding(lesion=lesion, patient=patient, num_patients=9)
    facts = {"cohort": "tbp", "partition": "all", "licence": "CC0", "num_training_images": 9}
    checkpoint = Checkpoint(SLIMP(settings, LossParams(), encoding).state_dict(), settings, LossParams(), encoding)
    nobody = pd.DataFrame({"partition": ["all"], "patient_id": ["nobody"]})
    probe = EvaluationParams(probe=ProbeParams(strengths=[1], num_inner_folds=2))
    exported = export({"all": replace(checkpoint, facts=facts)}, nobody, _evaluated(), probe, ExportParams(onnx=False))
    exported.write(folder)


def _evaluated() -> Evaluated:
    rng, number = np.random.default_rng(0), np.arange(40)
    rows = pd.DataFrame(
        {
            "image_id": [f"img{i:02d}" for i in number],
            "patient_id": [f"patient-{i // 2}" for i in number],
            "diagnosis": np.where(number % 3 == 0, "MEL", "NEV"),
            "malignant": number % 3 == 0,
        }
    )
    splits = rows[["image_id", "patient_id"]].assign(split="cv", fold=number // 2 % 3)
    results = pd.DataFrame(
        {
            "cohort": ["clinic"], "method": ["slimp"], "features": ["image"], "protocol": ["linear_probe"],
            "draw": ["all"], "metric": ["macro_f1"], "value": [0.7], "ci_low": [0.6], "ci_high": [0.8],
        }
    )  # fmt: skip
    embedding_ND = rng.normal(size=(40, 16)).astype(np.float32)
    return Evaluated("clinic", rows, splits, {"slimp.all.image": embedding_ND}, results)
