"""Libraries that count their users don't, unless they are asked to."""

import os
import subprocess
import sys

import pytest
from kedro_viz.integrations import pypi

from slimp_pipeline.session.telemetry import switch_telemetry_off

NAMES = ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "KEDRO_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")


@pytest.fixture
def switched(monkeypatch):
    """The switches, after what the user set."""

    def switch(**given: str) -> dict[str, str | None]:
        for name in NAMES:
            monkeypatch.setenv(name, "")  # what is set below is taken back
            monkeypatch.delenv(name)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "mlflow"})
        switch_telemetry_off()
        return {name: os.environ.get(name) for name in NAMES}

    return switch


def test_all_are_off(switched):
    assert switched() == dict(zip(NAMES, ("true", "true", "true", "1"), strict=True))


def test_who_isnt_to_be_tracked_isnt_however_that_is_spelt(switched):
    assert switched(DO_NOT_TRACK="1")["DO_NOT_TRACK"] == "true"
    assert switched(DO_NOT_TRACK="1", MLFLOW_DISABLE_TELEMETRY="false")["DO_NOT_TRACK"] == "true"


def test_one_that_is_asked_for_is_on_alone(switched):
    expected = (None, "false", "true", "1")
    assert switched(MLFLOW_DISABLE_TELEMETRY="false") == dict(zip(NAMES, expected, strict=True))


def test_what_counts_its_users_without_asking_doesnt_either(monkeypatch):
    for name in ("ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("requests.get", lambda *_, **__: pytest.fail("PyPI was asked"))
    switch_telemetry_off()
    assert (os.environ["ORT_DISABLE_TELEMETRY"], os.environ["RAY_USAGE_STATS_ENABLED"]) == ("1", "0")
    assert pypi.get_latest_version() is None
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    switch_telemetry_off()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_mlflow_obeys():
    code = """
import slimp_pipeline.session.telemetry as telemetry
telemetry.switch_telemetry_off()
from mlflow.telemetry.client import get_telemetry_client
print(get_telemetry_client())
"""
    environment = {
        name: value for name, value in os.environ.items() if name not in (*NAMES, "CI", "PYTEST_CURRENT_TEST")
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "None", done.stderr
