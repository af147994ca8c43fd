"""Kedro settings."""

import logging
import os
import warnings

import mlflow.pyfunc  # noqa: F401  (first: it changes the warning filters)
from omegaconf.resolvers import oc

# Warnings of third parties that a reader of the console can't act on.
warnings.filterwarnings("ignore", message=r".*register_new_resolver\(\) is deprecated")
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
with warnings.catch_warnings(record=True):  # MLflow insists on one of them, at the import of kedro-mlflow
    from slimp_pipeline.console import show_errors_plainly
    from slimp_pipeline.hooks import ConsoleHooks, TrackingHooks
for name in ("kedro_mlflow", "mlflow", "alembic"):
    logging.getLogger(name).setLevel(logging.WARNING)
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
show_errors_plainly()

# kedro-mlflow's hook is registered through its subclass, which flattens typed parameters.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")
HOOKS = (ConsoleHooks(), TrackingHooks())  # what ends a run is called in reverse: the summary comes last
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {"oc.env": oc.env},
}
