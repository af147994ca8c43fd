"""What every `kedro` command reads first."""

import subprocess
import sys
from pathlib import Path

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
