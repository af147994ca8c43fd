"""What every `kedro` command reads first, and the environments that come with it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
CODE = """
import sys
from kedro.framework.cli import main
try:
    main()
finally:
    print([name for name in ("torch", "timm", "sklearn", "slimp_pipeline.hooks") if name in sys.modules])
"""


def test_help_comes_without_what_takes_seconds_to_import_and_without_warnings():
    command = [sys.executable, "-c", CODE, "run", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stderr == "" and "--pipelines" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("milk10k_search", "milk10k_study", {"search", "study", "evaluation"}),  # the first trial is that study's
        ("milk10k_three_levels", "milk10k_study", {"source", "target", "study"}),
    ],
)
def test_environments_that_are_compared_differ_in_nothing_else(one, other, differ):
    settings = [yaml.safe_load((REPOSITORY / f"conf/{name}/parameters.yml").read_text()) for name in (one, other)]
    assert {key for key in {*settings[0], *settings[1]} if settings[0].get(key) != settings[1].get(key)} == differ
