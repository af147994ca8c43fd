"""The encoder as an MLflow pyfunc model, logged as code: nothing is pickled."""

import base64
import binascii
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

IMAGE = "image"
MAX_ROWS = 256  # of a request
MAX_BASE64 = 96_000_000  # characters of a picture


class EncoderModel(PythonModel):
    """Reads pictures that come with the request: `image` (base64 of the file's bytes) and metadata in; embeddings out.

    Nothing of the server's disk is opened for a request. What it tells of a row: `embedding`, `lesion_embedding`,
    `patient_embedding`; where the model knows lesions `unusual`, `is_unusual` and `nearest`; where it has a classifier
    `probabilities`.
    """

    def load_context(self, context: Any) -> None:
        """Load the folder that was logged with the model."""
        from slimp_pipeline.handover.reader import LesionReader

        self.reader = LesionReader(context.artifacts["checkpoint"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Read the rows of a request.

        Args:
            context: Unused; MLflow hands it over.
            model_input: `image`, and any of the encoder's fields, in the units of their names; what is absent or empty
                counts as not known.
            params: Unused; MLflow hands it over.

        Raises:
            MlflowException: If there is no column `image`, no row or too many, or a picture can't be read; the server
                answers 400.
        """
        if IMAGE not in model_input:
            raise _refused(f"the table needs a column `{IMAGE}`; it has {', '.join(map(str, model_input)) or 'none'}")
        if not 1 <= len(model_input) <= MAX_ROWS:
            raise _refused(f"the table has {len(model_input)} rows: 1 to {MAX_ROWS} are read at once")
        pictures = [_bytes_of(number, text) for number, text in enumerate(model_input[IMAGE])]
        try:
            readings = self.reader.read(pictures, model_input.drop(columns=IMAGE).reset_index(drop=True))
        except ValueError as error:
            raise _refused(str(error)) from error
        table = {
            "embedding": _rows(readings.image_ND),
            "lesion_embedding": _rows(readings.lesion_NM),
            "patient_embedding": _rows(readings.patient_NM),
        }
        known, classifier = self.reader.known, self.reader.classifier
        if known and readings.unusual_N is not None:
            table["unusual"] = readings.unusual_N.tolist()
            table["is_unusual"] = (readings.unusual_N > known.unusual_above).tolist()
            table["nearest"] = [
                [
                    {"known_lesion": row, "diagnosis": known.diagnosis_N[row], "distance": distance}
                    for row, distance in zip(rows, distances, strict=True)
                ]
                for rows, distances in zip(_rows(readings.nearest_NK), _rows(readings.distance_NK), strict=True)
            ]
        if classifier and readings.probability_NC is not None:
            table["probabilities"] = [
                dict(zip(classifier.classes, row, strict=True)) for row in _rows(readings.probability_NC)
            ]
        return pd.DataFrame(table)


def _rows(values: np.ndarray | None) -> list[Any]:
    return [] if values is None else values.tolist()


def _bytes_of(number: int, text: Any) -> bytes:
    if not isinstance(text, str):
        raise _refused(f"picture {number}: `{IMAGE}` is base64 text of the file's bytes, not {type(text).__name__}")
    if len(text) > MAX_BASE64:
        raise _refused(
            f"picture {number}: {len(text):,} characters of base64, more than the {MAX_BASE64:,} that are read"
        )
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"picture {number}: `{IMAGE}` isn't base64: {error}") from error
    if not raw:
        raise _refused(f"picture {number}: `{IMAGE}` is empty")
    return raw


def _refused(reason: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(f"{reason[0].upper()}{reason[1:]}.")


mlflow.models.set_model(EncoderModel())
