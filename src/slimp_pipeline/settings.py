"""Kedro settings.

Every command reads them, `kedro --help` too: what needs torch is imported with the first session.
"""

import functools
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

from slimp_pipeline.session.telemetry import switch_telemetry_off

switch_telemetry_off()  # before MLflow is imported
import mlflow.pyfunc  # noqa: E402, F401  (it changes the warning filters)
from omegaconf.resolvers import oc  # noqa: E402

# Warnings of third parties that a reader of the console can't act on.
warnings.filterwarnings("ignore", message=r".*register_new_resolver\(\) is deprecated")
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
with warnings.catch_warnings(record=True):  # MLflow insists on one of them
    import kedro_mlflow.mlflow  # noqa: F401

    from slimp_pipeline.session.config_loader import CheckedConfigLoader, cohort_in_role
    from slimp_pipeline.session.run import run_in_project
for name in ("kedro_mlflow", "mlflow", "alembic"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # of each retry; a server that is away is told once
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the summary says it
run_in_project()


class _Hooks:
    """What Kedro registers when it makes a session."""

    def __iter__(self) -> Iterator[Any]:
        return iter(_hooks())


@functools.cache
def _hooks() -> tuple[Any, ...]:
    """Called in reverse: first what a run reads is settled, and the summary comes last."""
    from slimp_pipeline.hooks.artifacts import ArtifactHooks
    from slimp_pipeline.hooks.console import ConsoleHooks
    from slimp_pipeline.hooks.finished import FinishedHooks
    from slimp_pipeline.hooks.lineage import LineageHooks
    from slimp_pipeline.hooks.tracking import TrackingHooks

    return ConsoleHooks(), TrackingHooks(), ArtifactHooks(), LineageHooks(), FinishedHooks()


# kedro-mlflow's hook is registered through its subclass, which flattens typed parameters.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")
HOOKS = _Hooks()
CONFIG_LOADER_CLASS = CheckedConfigLoader
CONFIG_LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {"oc.env": oc.env, "cohort": cohort_in_role},
}
