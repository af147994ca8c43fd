"""Kedro settings."""

import logging
import os
import warnings

from slimp_pipeline.session.telemetry import switch_telemetry_off

switch_telemetry_off()  # before MLflow is imported
import mlflow.pyfunc  # noqa: E402, F401  (it changes the warning filters)
from omegaconf.resolvers import oc  # noqa: E402

# Warnings of third parties that a reader of the console can't act on.
warnings.filterwarnings("ignore", message=r".*register_new_resolver\(\) is deprecated")
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
with warnings.catch_warnings(record=True):  # MLflow insists on one of them, at the import of kedro-mlflow
    from slimp_pipeline.hooks.artifacts import ArtifactHooks
    from slimp_pipeline.hooks.console import ConsoleHooks
    from slimp_pipeline.hooks.finished import FinishedHooks
    from slimp_pipeline.hooks.lineage import LineageHooks
    from slimp_pipeline.hooks.tracking import TrackingHooks
    from slimp_pipeline.session.config_loader import CheckedConfigLoader
    from slimp_pipeline.session.run import run_in_project
for name in ("kedro_mlflow", "mlflow", "alembic"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # of each retry; a server that is away is told once
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the summary says it
run_in_project()

# kedro-mlflow's hook is registered through its subclass, which flattens typed parameters.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")
# Called in reverse: first what a run reads is settled, and the summary comes last.
HOOKS = (ConsoleHooks(), TrackingHooks(), ArtifactHooks(), LineageHooks(), FinishedHooks())
CONFIG_LOADER_CLASS = CheckedConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {"oc.env": oc.env},
}
