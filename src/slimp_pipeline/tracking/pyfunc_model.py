"""The pre-trained encoder as an MLflow pyfunc model, logged as code: nothing is pickled."""

import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

SERVED_FOLDER = "SLIMP_SERVED_FOLDER"  # environment variable: the folder whose images may be embedded


class EncoderModel(PythonModel):
    """Embeds image files of the folder that `SLIMP_SERVED_FOLDER` names: a column `path` in, one per dimension out.

    Whoever may send requests to a server chooses the paths; without that folder, none is opened.
    """

    def load_context(self, context: Any) -> None:
        """Load the checkpoint folder that was logged with the model."""
        import slimp_pipeline

        self.encoder = slimp_pipeline.load(context.artifacts["checkpoint"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Embed the files named in `path`: float32, one row per file.

        Args:
            context: Unused; MLflow hands it over.
            model_input: A row per image; `path` lies in the served folder, and may be relative to it.
            params: Unused; MLflow hands it over.

        Raises:
            MlflowException: If the table has no column `path` or no rows, or an image isn't in the served folder
                or can't be read; the server answers 400.
        """
        if "path" not in model_input:
            raise _refused(f"the table needs a column `path`; it has {', '.join(map(str, model_input)) or 'none'}")
        if model_input.empty:
            raise _refused("the table has no rows: give at least one path")
        files = [_served_file(path) for path in model_input["path"]]
        try:
            return pd.DataFrame(self.encoder.encode_images(files))
        except (OSError, ValueError) as error:
            raise _refused(str(error)) from error


def _served_file(path: Any) -> Path:
    """The file itself, links resolved; whether one exists outside the served folder can't be asked."""
    folder = os.environ.get(SERVED_FOLDER)
    if not folder or not Path(folder).is_dir():
        raise _refused(
            "no folder of images is served. Whoever runs this model sets the environment variable "
            f"{SERVED_FOLDER} to the folder whose images may be embedded"
        )
    served = Path(folder).resolve()
    try:
        file = (served / path).resolve()
        inside = ".." not in Path(path).parts and file.is_relative_to(served)
        there = inside and file.is_file()
    except (OSError, RuntimeError, TypeError, ValueError):  # no text, no possible name, or links that lead in a circle
        inside = there = False
    if not inside:
        raise _refused(f"'{path}' is no path within the served folder ({SERVED_FOLDER})")
    if not there:
        raise _refused(f"there is no file '{path}' in the served folder ({SERVED_FOLDER})")
    return file


def _refused(reason: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(f"{reason[0].upper()}{reason[1:]}.")


mlflow.models.set_model(EncoderModel())
