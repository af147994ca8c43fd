"""Tracking: one MLflow run per `kedro run`."""

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks import MlflowHook
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from slimp_pipeline.parameters import ExportParams
from slimp_pipeline.processes.home import at_home, shown
from slimp_pipeline.processes.stopping import stop_if_asked, was_asked_to_stop
from slimp_pipeline.reporting.export.browser import remove_left_profiles
from slimp_pipeline.tracking import run as tracking
from slimp_pipeline.tracking.curves import Curves
from slimp_pipeline.tracking.ends import bearing_their_process, end_killed_runs, writing_unbroken
from slimp_pipeline.tracking.model import log_first_encoder, log_model
from slimp_pipeline.tracking.notes import Notes
from slimp_pipeline.tracking.set_up import set_up

logger = logging.getLogger(__name__)
_PACKAGE = __name__.partition(".")[0]


class TrackingHooks(MlflowHook):
    """One MLflow run per `kedro run`: flattened parameters, live curves, results, artifacts, tags."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set MLflow up by conf/<env>/mlflow.yml."""
        self._project = Path(context.project_path)
        with at_home(self._project):
            self._settings = tracking.settings_digest(context.params)  # first: it refuses wrong settings
            with set_up(context.config_loader, self._project, context._package_name or _PACKAGE):
                super().after_context_created(context)

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, save_version: str) -> None:
        """Give long computations somewhere to report to, and others a way from MLflow runs to versions."""
        self._version = save_version
        catalog["report_progress"] = MemoryDataset(self._report, copy_mode="assign")
        catalog["find_version"] = MemoryDataset(tracking.find_version, copy_mode="assign")
        catalog["registered_runs"] = MemoryDataset(tracking.registered_runs, copy_mode="assign")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Refuse what can't run before anything runs, clear up after killed runs, then start the MLflow run."""
        _require_one_process(run_params)
        remove_left_profiles()
        self.run_id = None  # of an earlier run of this process
        self._notes = Notes()
        self._params, self._logged_params = dict[str, Any](), dict[str, str]()
        tags = {"git_commit": tracking.git_commit(self._project), "env": run_params.get("env") or "base"}
        tags[tracking.RUN_VERSION] = self._version
        with writing_unbroken(), bearing_their_process():
            end_killed_runs()
            super().before_pipeline_run(tracking.told_of_run(run_params), pipeline, catalog)
            if self.run_id:
                self._curves = Curves(self.run_id, self._notes)
                tracking.name_run(self.run_id, *(_cohort_name(catalog, role) for role in _roles(pipeline)))
                tracking.tag(self.run_id, {**tags, "settings": self._settings})

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log the node's parameters, flattened."""
        stop_if_asked()
        parameters = {name: tracking.plain(value) for name, value in inputs.items() if name.startswith("params:")}
        self._notes.add(
            partial(self._log_params, partial(super().before_node_run, node, catalog, parameters, is_async))
        )

    def _log_params(self, collect: Callable[[], None]) -> None:
        """Log what is new of a node's parameters together: each alone would cost a transaction, or a request."""
        self._params.clear()
        collect()
        new = {name: value for name, value in self._params.items() if self._logged_params.get(name) != str(value)}
        if new:
            mlflow.log_params(new)
            self._logged_params |= {name: str(value) for name, value in new.items()}

    def _log_param(self, name: str, value: Any) -> None:
        """What the base class calls for each."""
        if len(str(value)) <= MAX_PARAM_VAL_LENGTH:
            self._params[name] = value
        else:
            super()._log_param(name, value)

    @hook_impl
    def after_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Tag the run with what it rests on."""
        if not self.run_id:
            return
        self._curves.write()
        tags = {}
        for name, value in outputs.items():
            if name.endswith("manifest"):
                role = name.split(".")[0]
                tags |= {f"{role}_{key}": value[key] for key in ("cohort", "fingerprint")}
            elif name == "encoders":
                tags["trained_encoders"] = tracking.encoders_digest(value)
        if tags:
            self._notes.add(partial(tracking.tag, self.run_id, tags))
        if inputs.get("encoders"):
            self._notes.add(partial(tracking.tag_pretraining, self.run_id, inputs["encoders"]))

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log results, artifacts and the encoder, then close the MLflow run."""
        if self.run_id:
            self._add_results(self.run_id, pipeline, catalog)
        self._notes.add(partial(super().after_pipeline_run, run_params, pipeline, catalog))
        self._notes.end()

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Close the MLflow run as failed; where MLflow fails too, what failed first is what is said."""
        if was_asked_to_stop():  # it is closed as stopped
            return
        try:
            if self.run_id:
                self._curves.write()
            super().on_pipeline_error(error, run_params, pipeline, catalog)
        except MlflowException as another:
            logger.warning("MLflow couldn't note that the run failed: %s", another)

    def _add_results(self, run_id: str, pipeline: Pipeline, catalog: DataCatalog) -> None:
        written = written_by(pipeline)
        if "results" in written:
            self._notes.add(partial(tracking.log_results, run_id, catalog.load("results")))
        if "chosen_settings" in written:
            self._notes.add(partial(tracking.log_chosen, run_id, catalog.load("chosen_settings")))
        self._notes.add(partial(tracking.log_artifacts, run_id, catalog, pipeline.outputs() | written))
        if "predictions" in written:
            version = Path(path_of(catalog, "predictions")).parent.name
            self._notes.add(partial(tracking.tag, run_id, {"version": version}))
        if "encoders" in written:
            self._notes.add(partial(log_first_encoder, catalog["encoders"].folder()))  # type: ignore[attr-defined]
        if "exported_model" in written:
            settings = ExportParams.model_validate(catalog.load("params:export"))
            name = settings.registered_as or f"slimp-{_cohort_name(catalog, 'source')}"
            self._notes.add(partial(log_model, catalog.load("exported_model"), name, settings.alias))
            logger.info("Registered in MLflow as models:/%s@%s", name, settings.alias)

    def _report(self, partition: str, step: int, values: dict[str, float]) -> None:
        stop_if_asked()
        if self.run_id:
            metrics = {f"pretrain/{partition}/{name}": value for name, value in values.items()}
            self._curves.add(metrics, step)
        if "validation_loss" in values and not sys.stderr.isatty():  # a terminal has the progress bar
            logger.info("training of %s, step %d: validation loss %.3f", partition, step, values["validation_loss"])


def written_by(pipeline: Pipeline) -> set[str]:
    """Names of the datasets that a pipeline writes."""
    return {name for node in pipeline.nodes for name in node.outputs}


def path_of(catalog: DataCatalog, name: str) -> str:
    """Path of the version that is loaded, as it is to be typed where the run was called from; or its address."""
    address: str = catalog[name].address  # type: ignore[attr-defined]
    return address if "://" in address else shown(address)


def _roles(pipeline: Pipeline) -> tuple[str, ...]:
    inputs = pipeline.inputs()
    if "params:prune" in inputs:
        return ()
    if "params:embedding" in inputs:
        return ("source",)
    return ("downloaded",) if "params:downloaded.cohort" in inputs else ("source", "target")


def _cohort_name(catalog: DataCatalog, role: str) -> str:
    """A parameter is typed only where a node of the pipeline asks for its type."""
    cohort = catalog.load(f"params:{role}.cohort")
    return str(cohort["name"] if isinstance(cohort, dict) else cohort.name)


def _require_one_process(run_params: dict[str, Any]) -> None:
    if "ParallelRunner" in str(run_params["runner"]):
        raise ValueError(
            "ParallelRunner isn't for this project: its training starts processes of its own, and reports to this one. "
            "Leave --runner out, or use --runner=ThreadRunner."
        )
