"""What of the configuration Kedro-Viz's pages are given."""

from pathlib import Path

import pytest

from slimp_pipeline.session.config_loader import CheckedConfigLoader
from slimp_pipeline.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["kedro", "viz", "build"], "(a path)"),
        (["kedro", "--verbose", "viz"], "(a path)"),
        (["kedro", "run", "--pipeline=viz"], "/home/anna/raw"),
        (["a_notebook"], "/home/anna/raw"),
    ],
)
def test_kedro_viz_is_told_no_paths_and_a_run_is(monkeypatch, command, told):
    monkeypatch.setenv("SLIMP_RAW", "/home/anna/raw")
    monkeypatch.setattr("sys.argv", command)
    parameters = CheckedConfigLoader(CONF, "test", **CONFIG_LOADER_ARGS)["parameters"]
    assert parameters["raw_root"] == told and parameters["fabricated_root"] == "data/01_raw/test"
