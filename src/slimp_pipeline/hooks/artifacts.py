"""Artifacts of a run: it reads one version of what it doesn't write, whole and of one piece; nothing half is left."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from slimp_pipeline.datasets.versioned import OwnVersionDataset
from slimp_pipeline.hooks.pins import STAGES, newest_resting, pins_of, versioned, versions_of, whole_versions
from slimp_pipeline.parameters import EmbeddingParams, TrainingParams
from slimp_pipeline.pipelines.export.pipeline import IF_THERE
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.home import at_home
from slimp_pipeline.processes.whole import UNFINISHED, remove_left_over
from slimp_pipeline.tracking.run import git_commit, settings_digest

logger = logging.getLogger(__name__)


class ArtifactHooks:
    """Pin what a run reads, before anything of it runs."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note where artifacts are kept, and what a run is told of itself."""
        project = Path(context.project_path)
        with at_home(project):
            self._origin = {"settings": settings_digest(context.params), "git_commit": git_commit(project)}
        in_project = project / "data"  # raw data stay there
        self._kept_in = {in_project, depot_of(data_address(context)).local}

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, save_version: str) -> None:
        """Note this run's version."""
        self._lineage = {"run": save_version} | self._origin
        catalog["lineage"] = MemoryDataset(self._lineage, copy_mode="assign")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Refuse devices that aren't there, clear up, pin what is read."""
        _require_devices(pipeline, catalog)
        for path in (path for folder in sorted(self._kept_in) for path in _left_over(folder)):
            logger.info("Removed %s, which a killed run was writing", os.path.relpath(path))
        read = {name: dataset for name in pipeline.inputs() if (dataset := versioned(catalog, name))}
        if nothing := _absent(pipeline, read, catalog):
            _hold_nothing(catalog, nothing)
            read = {name: dataset for name, dataset in read.items() if name not in nothing}
        names = {name for name, dataset in read.items() if not dataset.asked_for}
        asked = {name: dataset.asked_for for name, dataset in read.items() if dataset.asked_for}
        _require_encoders(names, run_params, catalog)
        outputs = {stage: {name for node in pipelines[stage].nodes for name in node.outputs} for stage in STAGES}
        pins = pins_of(names, asked, outputs, catalog)
        for name, version in pins.items():
            read[name].pin(version)
        for version in dict.fromkeys(pins.values()):
            of_it = sorted(name for name in pins if pins[name] == version)
            logger.info("Reads the run of %s: %s", version, ", ".join(of_it))
        self._lineage["pretrain"] = pins.get("encoders", self._lineage["run"])


def _absent(pipeline: Pipeline, read: Mapping[str, OwnVersionDataset[Any]], catalog: DataCatalog) -> tuple[str, ...]:
    """What a pipeline does without where it isn't there, and isn't."""
    nodes = {node.name.rpartition(".")[2] for node in pipeline.nodes}
    if "export_model" in nodes and "evaluation_rows" in read and not _evaluation_of(read, catalog):
        return IF_THERE
    if (
        "exported_model" in read
        and "embed_folder" in nodes
        and (_names_encoder(catalog) or not versions_of(catalog, "exported_model"))
    ):
        return ("exported_model",)
    if "embed_pictures" in nodes and "encoders" in read and not versions_of(catalog, "encoders"):
        return ("encoders",)
    return ()


def _names_encoder(catalog: DataCatalog) -> bool:
    """Whether the command names an exported model, so that none of the catalog is read."""
    return EmbeddingParams.model_validate(catalog.load("params:embedding")).encoder is not None


def _evaluation_of(read: Mapping[str, OwnVersionDataset[Any]], catalog: DataCatalog) -> bool:
    """Whether a whole evaluation rests on the encoders that are read, no run's that are yet to be; or is asked for."""
    if "encoders" not in read:
        return False
    if any(read[name].asked_for for name in IF_THERE):
        return True
    asked = read["encoders"].asked_for
    pretrained = {asked} if asked else whole_versions(read.keys() - set(IF_THERE), catalog)
    evaluations = whole_versions({*IF_THERE, "evaluation_lineage"}, catalog)
    return newest_resting(evaluations, pretrained, catalog) is not None


def _hold_nothing(catalog: DataCatalog, names: Iterable[str]) -> None:
    """Let datasets be None in this run; Kedro would warn of each."""
    kedros = logging.getLogger("kedro.io.data_catalog")
    level = kedros.level
    kedros.setLevel(logging.ERROR)
    for name in names:
        catalog[name] = MemoryDataset(None)
    kedros.setLevel(level)


def data_address(context: KedroContext) -> str:
    """Folder or address below which the catalog's paths lie: `data` of globals.yml.

    Raises:
        ValueError: If it is neither.
    """
    data = str(context.config_loader["globals"]["data"])
    return data if depot_of(data).is_elsewhere else str(Path(context.project_path) / data)


def _left_over(data: Path) -> Iterator[Path]:
    """Remove temporary files of dead processes below `data`; among raw data, beside cohorts' folders alone."""
    raw = data / "01_raw"
    for folder, below, files in os.walk(data):  # of hundreds of runs: nothing is looked at twice
        if any(name.startswith(UNFINISHED) for name in (*below, *files)):
            yield from remove_left_over(Path(folder))
        if Path(folder) == raw:
            below[:] = [name for name in below if name == "listings"]


def _require_devices(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Say before anything runs that a training's devices aren't there."""
    if {"pretrain", "adapt", "search_settings"} & {node.name.rpartition(".")[2] for node in pipeline.nodes}:
        from slimp_pipeline.training.device import require_devices  # torch: commands that train nothing do without

        require_devices(TrainingParams.model_validate(catalog.load("params:training")))


def _require_encoders(names: set[str], run_params: dict[str, Any], catalog: DataCatalog) -> None:
    if "encoders" in names and not catalog["encoders"].exists():
        options = f" --env={run_params['env']}" if run_params.get("env") else ""
        flat = pd.json_normalize(run_params.get("runtime_params") or {}).to_dict("records")
        chosen = ",".join(f"{key}={value}" for key, value in flat[0].items()) if flat else ""
        options += f" --params={chosen}" if chosen else ""
        raise FileNotFoundError(
            f"there is no pre-trained encoder yet. Run `kedro run --pipeline=pretrain{options}` first."
        )
