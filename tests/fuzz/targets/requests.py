"""Requests to a served model: base64 of pictures, and whatever stands in the fields."""

import base64
import tempfile
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mutation import mutated_bytes, odd_value
from small_model import write_export
from target import Target
from targets.images import encoded, seeds

from slimp_pipeline.tracking.pyfunc_model import EncoderModel

_COLUMNS = ["diameter_mm", "site", "symptom.itch", "age_years", "sex", "image", "path", "known_lesion"]


def make() -> Target:
    folder = Path(tempfile.mkdtemp()) / "exported"
    folder.mkdir()
    write_export(folder)
    model = EncoderModel()
    model.load_context(SimpleNamespace(artifacts={"checkpoint": str(folder)}))
    pictures = seeds()

    def image(rng: Random) -> Any:
        kind = rng.random()
        if kind < 0.5:
            return base64.b64encode(encoded("RGB", "JPEG")).decode()
        if kind < 0.8:
            return base64.b64encode(mutated_bytes(rng, pictures)).decode()
        if kind < 0.9:
            return mutated_bytes(rng, [base64.b64encode(pictures[0])]).decode("latin-1")
        return odd_value(rng)

    def draw(rng: Random) -> dict[str, list[Any]]:
        num_rows = rng.choice((0, 1, 1, 1, 2))
        columns = {name: [odd_value(rng) for _ in range(num_rows)] for name in rng.sample(_COLUMNS, rng.randrange(6))}
        return columns | {"image": [image(rng) for _ in range(num_rows)]} if rng.random() < 0.97 else columns

    def call(columns: dict[str, list[Any]]) -> None:
        frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
        told = model.predict(None, frame)
        assert len(told) == len(frame) and np.isfinite(np.array(told["embedding"].tolist())).all()
        assert {"lesion_embedding", "patient_embedding", "unusual", "nearest", "probabilities"} <= set(told)
        told.to_json(orient="records")

    return Target(draw, call, (MlflowException,), share=20)
