"""What surrounds `session.run()`, however it is called: the project's folder, and the truth about how it ended.

Kedro's hooks hear of failures in nodes. They don't hear of Ctrl-C, of a signal, or of a failure in a hook.
"""

import functools
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml
from kedro.framework.project import configure_logging
from kedro.framework.session import KedroSession
from threadpoolctl import threadpool_limits

from slimp_pipeline.console.errors import show_errors_plainly
from slimp_pipeline.processes.going_on import going_on
from slimp_pipeline.processes.home import at_home
from slimp_pipeline.processes.pool import end_pool
from slimp_pipeline.processes.stopping import stoppable
from slimp_pipeline.tracking.ends import ending_truly


def run_in_project() -> None:
    """Let every `KedroSession.run` work in its project's folder, and MLflow learn how it ended."""
    # A notebook loads this module again: what was wrapped earlier is wrapped but once.
    run: Callable[..., dict[str, Any]] = getattr(KedroSession.run, "__wrapped__", KedroSession.run)

    @functools.wraps(run)
    def run_there(self: KedroSession, *args: Any, **options: Any) -> dict[str, Any]:
        commanded = click.get_current_context(silent=True)  # a program of one's own has its own ways
        if commanded:
            _log_as_at_home(self._project_path)
            show_errors_plainly()  # over what Kedro's logging set
            _print_whatever_the_locale()
        with (
            stoppable("the same command goes on from what was finished and, in training, from the last checkpoint"),
            at_home(self._project_path),
            going_on(),
            ending_truly(),
            threadpool_limits(1, user_api="blas"),  # NumPy's threads spin after each product, where torch's would work
        ):
            try:
                return run(self, *args, **options)
            finally:
                if commanded:
                    end_pool()

    KedroSession.run = run_there  # type: ignore[method-assign]


def _log_as_at_home(project: Path) -> None:
    """Log as the project says: Kedro looked for that where it was started, which may be a folder below."""
    settings = project / "conf" / "logging.yml"
    if Path.cwd() != project and settings.is_file() and "KEDRO_LOGGING_CONFIG" not in os.environ:
        configure_logging(yaml.safe_load(settings.read_text(encoding="utf-8")))


def _print_whatever_the_locale() -> None:
    """A console that knows no umlauts shows something else; it ends no run."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
