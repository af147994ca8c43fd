"""What a Kedro run leaves in its MLflow run: tags, metrics, artifacts, the model."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from kedro.io import DataCatalog
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.measures.records import summary_draw
from slimp_pipeline.housekeeping.artifacts import VERSION
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.reporting.pages.interactive import render_figures
from slimp_pipeline.tables.csv_cells import csv_text
from slimp_pipeline.tracking.anonymous import without_places

METRICS = ("balanced_accuracy", "macro_auroc", "macro_f1", "malignant_auroc", "pauc_above_80_tpr", "ece")

TABLES = (
    "results", "differences", "robustness", "fields_read", "missingness", "subgroups", "known_truth", "comparison",
    "comparison_pairs", "comparison_truths", "comparison_readings", "borrowed_quality", "borrowed_other_fields",
    "borrowed_results", "borrowed_worth", "row_counts",
)  # fmt: skip
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_NOT_DECIDING = (
    "comparison", "study", "search", "report", "running_root", "data_root", "download", "downloaded", "embedding",
    "prune",
)  # fmt: skip
RUN_VERSION = "run_version"  # tag of every run: version of what it wrote


def git_commit(project: Path) -> str:
    """Commit of the project's checkout, marked where files differ from it; `unknown` outside git."""
    try:
        commit = _git(project, "rev-parse", "HEAD")
        return commit + ("-modified" if _git(project, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def tag(run_id: str, tags: dict[str, Any]) -> None:
    """Tag a run; unlike MLflow's own function, whichever thread this is."""
    mlflow.MlflowClient().log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])


def told_of_run(run_params: dict[str, Any]) -> dict[str, Any]:
    """What Kedro knows of a run, without paths; its parameters are logged where nodes read them."""
    untold = ("project_path", "runtime_params", "extra_params")
    return {name: None if name in untold else without_places(value) for name, value in run_params.items()}


def name_run(run_id: str, *cohorts: str) -> None:
    """Name a run by what it does with whom: it stands among many in the MLflow UI."""
    pipeline = str(mlflow.get_run(run_id).info.run_name).replace("__default__", "everything")
    tag(run_id, {"mlflow.runName": ": ".join([pipeline, *([" → ".join(cohorts)] if cohorts else [])])})


def settings_digest(parameters: dict[str, Any]) -> str:
    """Digest of the parameters that decide what a run computes, by which a finished run is found again."""
    deciding = {name: value for name, value in parameters.items() if name not in _NOT_DECIDING}
    text = json.dumps(deciding, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def find_version(run: str) -> str:
    """Version of the artifacts of a run: a version as it is, an MLflow run id by its tag.

    Raises:
        ValueError: If there is no such run, or it left no artifacts.
    """
    if VERSION.fullmatch(run):
        return run
    try:
        tags = mlflow.get_run(run).data.tags
    except MlflowException as error:
        raise ValueError(f"'{run}' is neither a version (2026-01-31T12.00.00.000Z) nor an MLflow run id") from error
    if "version" not in tags:
        raise ValueError(
            f"MLflow run {run} ({tags.get('mlflow.runName', 'no name')}) was no evaluation, or didn't finish"
        )
    return str(tags["version"])


def registered_runs() -> dict[str, str]:
    """Versions of the artifacts of runs that made a model which bears an alias in the model registry, and which.

    Raises:
        ValueError: If MLflow has such a run no more.
    """
    client, runs, page = mlflow.MlflowClient(), dict[str, str](), None
    while page is None or page.token:
        page = client.search_registered_models(page_token=page.token if page else None)
        for model in page:
            for alias, number in model.aliases.items():
                run_id = client.get_model_version(model.name, str(number)).run_id
                model_in_use = f"models:/{model.name}@{alias}"
                if version := _version_of(client, run_id, model_in_use):
                    runs[version] = f"{model_in_use} is of it"
    return runs


def _version_of(client: mlflow.MlflowClient, run_id: str | None, model: str) -> str | None:
    try:
        return client.get_run(run_id).data.tags.get(RUN_VERSION) if run_id else None
    except MlflowException as error:
        if error.error_code != _ABSENT:
            raise
        raise ValueError(
            f"{model} is of the MLflow run {run_id}, which is no more: what it rests on can't be told, and nothing was "
            "removed. If the model isn't in use, take its alias away (in `mlflow ui`, under Models); else register it "
            "anew (kedro run --pipeline=export)"
        ) from error


def finished_version(**tags: str) -> str | None:
    """Version of the last finished run that bears these tags; None where there is none."""
    filters = [f"tags.{name} = '{value}'" for name, value in tags.items()]
    found = mlflow.search_runs(
        filter_string=" and ".join([*filters, "attributes.status = 'FINISHED'"]),
        order_by=["attributes.start_time DESC"],
        output_format="list",
        search_all_experiments=True,
    )
    versions = [run.data.tags["version"] for run in found if "version" in run.data.tags]
    return versions[0] if versions else None


def encoders_digest(encoders: dict[str, Checkpoint]) -> str:
    """Digest of the weights, by which an evaluation finds the pre-training it rests on."""
    digest = hashlib.sha256()
    for name in sorted(encoders):
        for key in sorted(encoders[name].state):
            digest.update(encoders[name].state[key].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:20]


def tag_pretraining(run_id: str, encoders: dict[str, Checkpoint]) -> None:
    """Tag a run with the pre-training run that made these encoders."""
    digest = encoders_digest(encoders)
    tag(run_id, {"encoders": digest})
    found = mlflow.search_runs(
        filter_string=f"tags.trained_encoders = '{digest}'",
        output_format="list",
        max_results=1,
        search_all_experiments=True,
    )
    if found:
        tag(run_id, {"pretraining_run_id": found[0].info.run_id})


def log_results(run_id: str, results: pd.DataFrame) -> None:
    """Log the results that stand for all folds (or the hold-out) as metrics.

    They are called `<method>/<features>/<protocol>/<metric>`; of few labels `<shots>` stands before the metric.
    """
    draw = summary_draw(results)
    rows = results[(results["draw"] == draw) & results["metric"].isin(METRICS)].dropna(subset=["value"])
    mlflow.log_metrics({_metric_name(row): float(row.value) for row in rows.itertuples()}, run_id=run_id)


def _metric_name(row: Any) -> str:
    """Name of a row of the results, without the signs that MLflow refuses."""
    shots = [] if row.shots == "all" else [str(row.shots)]
    name = "/".join([row.method, row.features, row.protocol, *shots, row.metric])
    return name.replace("+", "_").replace("%", "_percent")


def log_chosen(run_id: str, chosen: dict[str, Any]) -> None:
    """Log what a search came to, and the settings that it chose."""
    mlflow.log_metric(f"search/{chosen['search']['metric']}", chosen["value"], run_id=run_id)
    tag(run_id, {"chosen_settings": json.dumps(without_places(chosen["chosen"]))})


def log_artifacts(run_id: str, catalog: DataCatalog, names: set[str]) -> None:
    """Log report, results table and figures of a run; no ids of patients or images are in them."""
    for name in TABLES:
        if name in names:
            mlflow.log_text(csv_text(catalog.load(name)), f"{name}.csv", run_id=run_id)
    for page in ("report_page", "comparison_page", "extrapolation_page"):
        if page in names:
            mlflow.log_text(catalog.load(page), f"{page.removesuffix('_page')}.html", run_id=run_id)
    if "figure_files" in names:
        folder = catalog["figure_files"].folder()  # type: ignore[attr-defined]
        mlflow.log_artifacts(folder, "figures", run_id=run_id)
    figures = {name: catalog.load(name) for name in sorted(names) if name.endswith(("_figure", "_map"))}
    if figures:
        mlflow.log_text(render_figures(figures), "figures/interactive.html", run_id=run_id)


def plain(value: Any) -> Any:
    """A parameter as plain values without paths; a cohort by its name, since its YAML is in the repository."""
    if isinstance(value, CohortSpec):
        return value.name
    return without_places(value.model_dump(mode="json") if hasattr(value, "model_dump") else value)


def _git(project: Path, *arguments: str) -> str:
    command = ["git", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout.strip()
