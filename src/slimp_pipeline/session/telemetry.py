"""Nothing calls home: the libraries that count their users are told not to."""

import os
import sys

_SWITCHES = {
    "DO_NOT_TRACK": "true",  # MLflow takes no other spelling
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "KEDRO_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def switch_telemetry_off() -> None:
    """Set the switches, for this process and those that it starts; to be called before MLflow is imported."""
    os.environ.update(_SWITCHES)
    if "mlflow" in sys.modules:  # of a notebook: it decided at its import
        from mlflow.telemetry import set_telemetry_client

        set_telemetry_client()
