"""Every version of a versioned artifact at once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError, Version

from slimp_pipeline.datasets.atomic import AtomicDataset
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.home import told


class VersionsDataset(AbstractDataset[None, dict[str, Callable[[], Any]]]):
    """Version -> a function that loads it; read-only.

    Args:
        filepath: Path or address of the versioned artifact, as its own entry has it.
        dataset: The wrapped dataset's configuration, as its own entry has it.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    def __init__(self, *, filepath: str, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._filepath, self._dataset, self.metadata = filepath, dataset, metadata
        self._read: set[str] = set()

    @property
    def artifact(self) -> Path:
        """Local path of the artifact, whose versions lie below."""
        return depot_of(self._filepath).local

    @property
    def versions_read(self) -> list[str]:
        """Versions that were loaded."""
        return sorted(self._read)

    def load(self) -> dict[str, Callable[[], Any]]:
        """Find the versions, oldest first; none is read yet."""
        depot = depot_of(self._filepath)
        pattern = depot.local / "*" / depot.local.name
        versions = sorted(Path(path).parent.name for path in depot.matching(str(pattern)))
        return {version: partial(self._load_version, version) for version in versions}

    def save(self, data: None) -> None:
        """Refuse: each version is written by the run that made it."""
        raise DatasetError(f"{self._filepath}: versions are only read together, never written")

    def _load_version(self, version: str) -> Any:
        self._read.add(version)
        return AtomicDataset(filepath=self._filepath, dataset=self._dataset, version=Version(version, None)).load()

    def _exists(self) -> bool:
        return bool(self.load())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": told(self._filepath), "dataset": self._dataset}
