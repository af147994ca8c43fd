"""What a run rests on: it is noted when the run ends, so that nothing is pruned on which something rests."""

import contextlib
from collections.abc import Iterator

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline

from slimp_pipeline.datasets.versioned import OwnVersionDataset
from slimp_pipeline.datasets.versions import VersionsDataset
from slimp_pipeline.hooks.artifacts import data_address
from slimp_pipeline.housekeeping.artifacts import version_at
from slimp_pipeline.parameters import EmbeddingParams
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.going_on import begin, begin_alone

_ALONE = "remove_planned"  # node before which no other run may go on


class LineageHooks:
    """Mark a run while it goes on; note which versions it read when it ends."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note where artifacts are kept."""
        self._depot = depot_of(data_address(context))

    @hook_impl
    def after_catalog_created(self, save_version: str) -> None:
        """Note this run's version."""
        self._version = save_version

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Refuse a place where nothing can be kept; mark the run, or make sure that it is alone."""
        self._depot.require_usable()
        if _ALONE in {node.name.rpartition(".")[2] for node in pipeline.nodes}:
            begin_alone(self._depot.local, "pruning")
        else:
            begin(self._depot.local)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Note what it rests on."""
        self._note(pipeline, catalog)

    @hook_impl
    def on_pipeline_error(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Note it of what a run left that failed, too; its own error is what is said."""
        with contextlib.suppress(OSError, DatasetError):
            self._note(pipeline, catalog)

    def _note(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        reads = {name: versions for name, versions in self._reads(pipeline, catalog) if versions}
        catalog["run_lineage"].save({"run": self._version, "reads": reads})

    def _reads(self, pipeline: Pipeline, catalog: DataCatalog) -> Iterator[tuple[str, list[str]]]:
        """Artifacts of earlier runs, by their paths below the data folder, with the versions that were read."""
        data = self._depot.local
        for name in sorted(pipeline.inputs()):
            dataset = catalog[name] if name in catalog and not name.startswith("params:") else None
            if isinstance(dataset, OwnVersionDataset | VersionsDataset) and dataset.artifact.is_relative_to(data):
                path = dataset.artifact.relative_to(data).as_posix()
                yield path, [version for version in dataset.versions_read if version != self._version]
        if "params:embedding" in pipeline.inputs():
            named = EmbeddingParams.model_validate(catalog.load("params:embedding")).encoder
            yield from version_at(named, data) if named else ()
