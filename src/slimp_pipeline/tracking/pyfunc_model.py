"""The pre-trained encoder as an MLflow pyfunc model, logged as code: nothing is pickled."""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class EncoderModel(PythonModel):
    """Embeds image files: a column `path` in, one column per dimension out."""

    def load_context(self, context: Any) -> None:
        """Load the checkpoint folder that was logged with the model."""
        import slimp_pipeline

        self.encoder = slimp_pipeline.load(context.artifacts["checkpoint"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Embed the files named in `path`; float32, one row per file."""
        return pd.DataFrame(self.encoder.encode_images(list(model_input["path"])))


mlflow.models.set_model(EncoderModel())
