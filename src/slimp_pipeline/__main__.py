"""The installed package as a command: `python -m slimp_pipeline --pipeline=... --conf-source=...` runs a pipeline."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*arguments: Any, **options: Any) -> Any:
    """Run a pipeline, with the options of `kedro run`; the folder it is called in is the project's."""
    package = Path(__file__).parent.name
    configure_project(package)
    options["standalone_mode"] = not hasattr(sys, "ps1")  # a console stays open
    return find_run_command(package)(*arguments, **options)


if __name__ == "__main__":
    main()
