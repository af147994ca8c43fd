"""Nothing calls home unless asked to: the libraries that count their users are told not to."""

import os
import sys

from kedro_viz.integrations import pypi

_EVERYBODY = ("DO_NOT_TRACK", "true")  # MLflow takes no other spelling
_SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "KEDRO_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_OTHERS = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}  # ONNX Runtime's and Ray's, unless set


def switch_telemetry_off() -> None:
    """Set the switches, for this process and those that it starts; to be called before MLflow is imported.

    A switch that the user has set to false or 0 asks for that library's telemetry, and stays.
    """
    asked_for = {name for name in _SWITCHES if os.environ.get(name, "").lower() in ("false", "0")}
    os.environ.update({name: value for name, value in _SWITCHES.items() if name not in asked_for})
    for name, value in _OTHERS.items():
        os.environ.setdefault(name, value)
    pypi.get_latest_version = lambda: None  # `kedro viz run` would ask PyPI for a newer Kedro-Viz
    if not asked_for or "DO_NOT_TRACK" in os.environ:
        os.environ.update([_EVERYBODY])
    if "mlflow" in sys.modules:  # of a notebook: it decided at its import
        from mlflow.telemetry import set_telemetry_client

        set_telemetry_client()
