"""Commands of this project beside Kedro's own."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, cast

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.session import KedroSession
from kedro.framework.startup import ProjectMetadata, bootstrap_project

from slimp_pipeline.console.errors import show_errors_plainly
from slimp_pipeline.parameters import SearchParams, StudyParams
from slimp_pipeline.processes.stopping import stoppable
from slimp_pipeline.session.params_option import CommandWithParams, run, split_params
from slimp_pipeline.session.telemetry import switch_telemetry_off

logger = logging.getLogger(__name__)
_PATIENCE_S = 5
switch_telemetry_off()  # for commands that read no settings
show_errors_plainly()  # Kedro imports this module before it reads a command's options


@click.group(name="slimp-pipeline")
def cli() -> None:
    """Commands of slimp-pipeline."""


cli.add_command(run)


@cli.command(cls=CommandWithParams)
@env_option
@click.option("--params", default="", callback=split_params, help="Parameters of every cell, as for `kedro run`.")
@click.pass_obj
def study(metadata: ProjectMetadata, env: str | None, params: dict[str, Any]) -> None:
    """Search for settings if `search` names any; run every variant of `study` with every seed, then compare them.

    What was finished isn't run again.
    """
    with stoppable("the same command goes on: finished cells are kept"):
        run_study(metadata.project_path, env, params)


def run_study(project: Path, env: str | None, params: dict[str, Any]) -> None:
    """Run the search and the grid of the parameters' blocks `search` and `study`, and compare the grid's cells.

    Cells are run with the settings that the search chose, beneath what a variant changes. A cell is finished where
    MLflow holds a finished run with the same parameters on the same data; one that was killed goes on from its running
    checkpoint, as a search does.
    """
    session = _session(project, env, params)
    with session:
        context = session.load_context()
        grid = StudyParams.model_validate(context.params["study"])
        search = SearchParams.model_validate(context.params["search"])
        if not grid.variants and not search.space:
            raise click.ClickException("nothing to do: study.variants is empty, and so is search.space. Fill one.")
        _require_valid(project, env, params, grid)
        session.run(pipeline_names=["ingest"])
        data = {
            f"{role}_fingerprint": context.catalog.load(f"{role}.manifest")["fingerprint"]
            for role in ("source", "target")
        }
    if search.space:
        params = _merged(params, _search(project, env, params, data["source_fingerprint"]))
        _require_valid(project, env, params, grid)
    cells = [(variant, seed) for seed in grid.seeds for variant in grid.variants]  # all once, before any twice
    groups: dict[str, list[str]] = {}
    for number, (variant, seed) in enumerate(cells, start=1):
        cell = _merged(params, {**variant.changes, "training.seed": seed})
        title = f"Cell {number} of {len(cells)}: {variant.label}, seed {seed}"
        groups.setdefault(variant.label, []).append(_finish(project, env, cell, data, title))
    if groups:
        session = _session(project, env, params | {"comparison": {"groups": groups}})
        with session:
            session.run(pipeline_names=["compare"])


def _require_valid(project: Path, env: str | None, params: dict[str, Any], grid: StudyParams) -> None:
    """Read the settings of every variant: what is wrong with the last one shows before the first is trained."""
    for variant in grid.variants:
        _session(project, env, _merged(params, variant.changes)).load_context()


def _search(project: Path, env: str | None, params: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    """Settings that a search chose: dotted name -> value; the search is run where it wasn't finished."""
    if (chosen := _finished_search(project, env, params, fingerprint)) is not None:
        logger.info("The search: finished earlier")
        return chosen
    logger.info("The search")
    _run_apart("The search", project, env, params, ["search"])
    chosen = _finished_search(project, env, params, fingerprint)
    if chosen is None:
        raise click.ClickException("the data or the settings changed while they were searched. Run the study again.")
    return chosen


def _finished_search(project: Path, env: str | None, params: dict[str, Any], fingerprint: str) -> dict[str, Any] | None:
    """What the newest search chose; None where it was of other settings or data."""
    from slimp_pipeline.tracking.run import settings_digest  # seconds, for a study alone

    session = _session(project, env, params)
    with session:
        context = session.load_context()
        if not context.catalog.exists("chosen_settings"):
            return None
        found = context.catalog.load("chosen_settings")
        search = SearchParams.model_validate(context.params["search"]).model_dump(mode="json")
        asked = {"settings": settings_digest(context.params), "fingerprint": fingerprint, "search": search}
    return found["chosen"] if all(found.get(name) == value for name, value in asked.items()) else None


def _finish(project: Path, env: str | None, params: dict[str, Any], data: dict[str, str], title: str) -> str:
    """Version of a cell's artifacts, after running it where it wasn't finished."""
    from slimp_pipeline.tracking.run import finished_version, settings_digest  # seconds, for a study alone

    session = _session(project, env, params)
    with session:
        context = session.load_context()
        settings, there = settings_digest(context.params), context.catalog.load("compared_predictions")
    version = finished_version(settings=settings, **data)
    if version and version in there:  # MLflow may remember what was deleted since
        logger.info("%s: finished earlier, version %s", title, version)
        return version
    logger.info("%s", title)
    _run_apart(title, project, env, params, ["pretrain", "evaluate"])
    version = finished_version(settings=settings, **data)
    if version is None:
        raise click.ClickException("the run left no trace in MLflow: a study needs tracking (conf/<env>/mlflow.yml)")
    return version


def _run_apart(title: str, project: Path, env: str | None, params: dict[str, Any], pipelines: list[str]) -> None:
    """Run pipelines in a process of their own: what a training holds of memory goes with it."""
    cell = multiprocessing.get_context("spawn").Process(target=_run_cell, args=(project, env, params, pipelines))
    cell.start()
    try:
        cell.join()
    finally:
        _end(cell)
    if cell.exitcode:
        raise click.ClickException(f"{title} failed (see above). Run the study again: what was finished is kept.")


def _end(cell: Any) -> None:
    """End a cell that runs still: its study was stopped. After Ctrl-C, which it heard too, it is ending itself."""
    if getattr(sys.exc_info()[1], "code", None) == 128 + signal.SIGINT:
        cell.join(_PATIENCE_S)
    if cell.is_alive():
        cell.terminate()
        cell.join()


def _run_cell(project: Path, env: str | None, params: dict[str, Any], pipelines: list[str]) -> None:
    threading.Thread(target=_end_with_study, daemon=True).start()
    bootstrap_project(project)
    session = _session(project, env, params)
    try:
        with session:
            session.run(pipeline_names=pipelines)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def _end_with_study() -> None:
    """Don't train on for a study that was killed."""
    if study := multiprocessing.parent_process():
        study.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _session(project: Path, env: str | None, params: dict[str, Any]) -> KedroSession:
    return cast(KedroSession, KedroSession.create(project, env=env, runtime_params=params))


def _merged(params: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nest dotted changes into parameters: the changes win."""
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in params.items()}
    for name, value in changes.items():
        place, *path = merged, *name.split(".")
        for key in path[:-1]:
            place[key] = dict(place.get(key, {}))
            place = place[key]
        place[path[-1]] = value
    return merged
