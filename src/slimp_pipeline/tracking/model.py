"""The encoder in MLflow: logged as a pyfunc model, and in the model registry."""

import base64
import copy
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Map, Object, Property, Schema, TensorSpec

from slimp_pipeline.handover.reader import LesionReader
from slimp_pipeline.models.fingerprint import picture
from slimp_pipeline.tracking.anonymous import anonymous

NAME = "encoder"


def log_first_encoder(folder: Path) -> None:
    """Log the first of several checkpoint folders in the active run."""
    log_model(sorted(path for path in folder.iterdir() if path.is_dir())[0])


def log_model(folder: Path, registered_as: str | None = None, alias: str | None = None) -> None:
    """Log a checkpoint or export folder in the active run as a pyfunc model.

    Args:
        folder: What the model holds.
        registered_as: Also a new version of this name in the model registry.
        alias: Which then bears this alias.
    """
    reader = LesionReader(folder)
    with warnings.catch_warnings(record=True), anonymous():
        logged = Model.log(
            artifact_path=None,
            flavor=_WithoutPlaces,
            flavor_name="pyfunc",
            name=NAME,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"checkpoint": str(folder)},
            pip_requirements=["slimp-pipeline"],
            signature=_signature(reader),
            input_example=example(reader),
            registered_model_name=registered_as,
        )
    if registered_as and alias:
        mlflow.MlflowClient().set_registered_model_alias(registered_as, alias, logged.registered_model_version)


class _WithoutPlaces:
    """MLflow's flavor `pyfunc`, in whose description no path of this machine stands; MLflow reads none of them."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, **options: Any) -> None:
        mlflow.pyfunc.save_model(path, mlflow_model=mlflow_model, **options)
        flavor = mlflow_model.flavors[mlflow.pyfunc.FLAVOR_NAME]
        flavor["model_code_path"] = Path(flavor["model_code_path"]).name
        for artifact in flavor["artifacts"].values():
            artifact["uri"] = artifact["path"]
        told = copy.copy(mlflow_model)
        told.artifact_path = None
        told.save(str(Path(path) / "MLmodel"))


def example(reader: LesionReader) -> pd.DataFrame:
    """A request of one row: a picture that no person is on, and one number."""
    row: dict[str, Any] = {"image": base64.b64encode(picture()).decode()}
    if reader.numeric_fields:
        row[reader.numeric_fields[0]] = 5.0
    return pd.DataFrame([row])


def _signature(reader: LesionReader) -> ModelSignature:
    numbers = Array(DataType.double)
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "image")]
    inputs += [ColSpec(DataType.double, name, required=False) for name in reader.numeric_fields]
    inputs += [ColSpec(DataType.string, name, required=False) for name in reader.other_fields]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(numbers, name) for name in ("embedding", "lesion_embedding", "patient_embedding")
    ]
    if reader.known:
        found = Object(
            [
                Property("known_lesion", DataType.long),
                Property("diagnosis", DataType.string),
                Property("distance", DataType.double),
            ]
        )
        outputs += [ColSpec(DataType.double, "unusual"), ColSpec(DataType.boolean, "is_unusual")]
        outputs.append(ColSpec(Array(found), "nearest"))
    if reader.classifier:
        outputs.append(ColSpec(Map(DataType.double), "probabilities"))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
