"""Hooks: what surrounds the computation. Nodes know nothing of tracking, timing or the console."""

import difflib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

import mlflow
import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks import MlflowHook
from omegaconf import OmegaConf

from slimp_pipeline.parameters import wrong_settings
from slimp_pipeline.reporting.summary import comparison_lines, extrapolation_lines, summary_lines
from slimp_pipeline.tracking import run as tracking

logger = logging.getLogger(__name__)


class TrackingHooks(MlflowHook):
    """One MLflow run per `kedro run`: flattened parameters, live curves, results, artifacts, tags."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set MLflow up by conf/<env>/mlflow.yml."""
        _require_environment(context)
        _require_known_parameters(context)
        _require_valid_settings(context)
        super().after_context_created(context)
        self._settings = tracking.settings_digest(context.params)
        self._project = Path(context.project_path)

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Give long computations somewhere to report to, and comparisons a way from MLflow runs to versions."""
        catalog["report_progress"] = MemoryDataset(_report, copy_mode="assign")
        catalog["find_version"] = MemoryDataset(tracking.find_version, copy_mode="assign")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Refuse an evaluation without encoders before anything runs, then start the MLflow run."""
        _require_encoders(run_params, pipeline, catalog)
        super().before_pipeline_run(run_params, pipeline, catalog)
        if self._is_mlflow_enabled:
            tracking.name_run(*(_cohort_name(catalog, role) for role in ("source", "target")))
            mlflow.set_tags({"git_commit": tracking.git_commit(self._project), "env": run_params.get("env") or "base"})
            mlflow.set_tag("settings", self._settings)

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log the node's parameters, flattened."""
        parameters = {name: tracking.plain(value) for name, value in inputs.items() if name.startswith("params:")}
        super().before_node_run(node, catalog, parameters, is_async)

    @hook_impl
    def after_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Tag the run with what it rests on, and log results."""
        if not self._is_mlflow_enabled:
            return
        for name, value in outputs.items():
            if name.endswith("manifest"):
                mlflow.set_tags({f"{name.split('.')[0]}_{key}": value[key] for key in ("cohort", "fingerprint")})
            elif name == "encoders":
                mlflow.set_tag("trained_encoders", tracking.encoders_digest(value))
            elif name == "results":
                tracking.log_results(value)
        if "encoders" in inputs:
            tracking.tag_pretraining(inputs["encoders"])

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log artifacts and the encoder, then close the MLflow run."""
        if self._is_mlflow_enabled:
            tracking.log_artifacts(catalog, pipeline.outputs() | _written(pipeline))
            if "predictions" in _written(pipeline):
                mlflow.set_tag("version", Path(_path(catalog, "predictions")).parent.name)
            if "encoders" in _written(pipeline):
                tracking.log_encoder(catalog["encoders"].folder())  # type: ignore[attr-defined]
        super().after_pipeline_run(run_params, pipeline, catalog)


class ConsoleHooks:
    """One line per finished node, with its time; at the end what was found, and where it is."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note the time."""
        self._started[node.name] = time.perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Say what was done, once its last artifact is saved: images are packed while they are written."""
        if dataset_name == node.outputs[-1]:
            logger.info("%-42s %6.1f s", node.name, time.perf_counter() - self._started[node.name])

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Say what was found, and where to look."""
        written = _written(pipeline)
        if "comparison_page" in written:
            lines = ["", *comparison_lines(catalog.load("comparison"), catalog.load("comparison_pairs"))]
            logger.info("\n".join([*lines, f"Page:     {_path(catalog, 'comparison_page')}"]))
        if "extrapolation_page" in written:
            lines = ["", *extrapolation_lines(catalog.load("borrowed_quality"), catalog.load("borrowed_worth"))]
            logger.info("\n".join([*lines, f"Page:     {_path(catalog, 'extrapolation_page')}"]))
        places = [
            f"{title + ':':<10}{_path(catalog, name)}"
            for title, name in (("Report", "report_page"), ("Results", "results"), ("Encoders", "encoders"))
            if name in written
        ]
        if not places:
            return
        found = summary_lines(catalog.load("results"), catalog.load("differences")) if "results" in written else []
        hints = ["Runs:     mlflow ui --backend-store-uri sqlite:///mlflow.db", "Pipeline: kedro viz run"]
        logger.info("\n".join(["", *found, *places, *hints]))


def _written(pipeline: Pipeline) -> set[str]:
    return {name for node in pipeline.nodes for name in node.outputs}


def _path(catalog: DataCatalog, name: str) -> str:
    path = Path(catalog[name]._get_load_path())  # type: ignore[attr-defined]
    return os.path.relpath(path)


def _cohort_name(catalog: DataCatalog, role: str) -> str:
    """A parameter is typed only where a node of the pipeline asks for its type."""
    cohort = catalog.load(f"params:{role}.cohort")
    return str(cohort["name"] if isinstance(cohort, dict) else cohort.name)


def _report(partition: str, step: int, values: dict[str, float]) -> None:
    if mlflow.active_run():
        mlflow.log_metrics({f"pretrain/{partition}/{name}": value for name, value in values.items()}, step=step)
    if "validation_loss" in values and not sys.stderr.isatty():  # a terminal has the progress bar
        logger.info("training of %s, step %d: validation loss %.3f", partition, step, values["validation_loss"])


def _require_environment(context: KedroContext) -> None:
    """Without this, kedro-mlflow would meet the missing folder first, and complain of something else."""
    conf = Path(context.config_loader.conf_source)
    if context.env and conf.is_dir() and not (conf / context.env).is_dir():
        known = sorted(path.name for path in conf.iterdir() if path.is_dir() and path.name not in ("base", "local"))
        raise ValueError(f"there is no environment '{context.env}'. Known in {conf.name}/: {', '.join(known)}.")


def _require_known_parameters(context: KedroContext) -> None:
    """Kedro takes any name; a misspelt one would change nothing, and nobody would notice."""
    conf = Path(context.config_loader.conf_source)
    base, own = _parameters(conf / "base"), _parameters(conf / (context.env or "local"))
    for name, (path, value) in own.items():
        is_cohort = isinstance(value, dict) and "image_id" in value
        if name not in base and not is_cohort and (near := difflib.get_close_matches(name, base, n=1, cutoff=0.8)):
            raise ValueError(f"{path}: there is no parameter '{name}'. Did you mean '{near[0]}'?")
    known = base.keys() | own.keys()
    for name in (context.config_loader.runtime_params or {}).keys() - known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(sorted(known))}."
        raise ValueError(f"--params: there is no parameter '{name}'. {hint}")


def _require_valid_settings(context: KedroContext) -> None:
    """Kedro checks what the chosen pipeline reads; a wrong setting of a later one would be met hours later."""
    if problems := wrong_settings(context.config_loader["parameters"]):
        raise ValueError("wrong settings\n" + "\n".join(f"  {problem}" for problem in problems))


def _parameters(folder: Path) -> dict[str, tuple[Path, Any]]:
    """Top-level names in the parameter files of an environment, with file and value."""
    kinds = ("globals*.yml", "parameters*.yml", "parameters/**/*.yml")
    return {
        str(name): (path, value)
        for kind in kinds
        for path in folder.glob(kind)
        for name, value in cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path))).items()
    }


def _require_encoders(run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
    if "encoders" in pipeline.inputs() and not catalog["encoders"].exists():
        options = f" --env={run_params['env']}" if run_params.get("env") else ""
        flat = pd.json_normalize(run_params.get("runtime_params") or {}).to_dict("records")
        chosen = ",".join(f"{key}={value}" for key, value in flat[0].items()) if flat else ""
        options += f" --params={chosen}" if chosen else ""
        raise FileNotFoundError(
            f"there is no pre-trained encoder yet. Run `kedro run --pipeline=pretrain{options}` first."
        )
