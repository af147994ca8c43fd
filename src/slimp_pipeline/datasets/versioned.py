"""Versioned artifacts: written whole, and read by the run that wrote them as it wrote them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from slimp_pipeline.processes.whole import appearing_whole

Content = TypeVar("Content")


@dataclass(frozen=True)
class FinishedArtifact:
    """An artifact of an earlier run that stands for what this one would compute; it is saved as a copy."""

    path: Path


class OwnVersionDataset(AbstractVersionedDataset[Content, Content], Generic[Content]):
    """A versioned dataset that loads one version throughout a run.

    Kedro's own loads the newest version even after this run has saved one: with two runs at once, one would go on
    with the other's data. Here, what was saved is what is loaded; else the version that was met first.
    """

    _written: str | None = None

    def resolve_load_version(self) -> str | None:
        """Version that `load` reads: pinned, else this run's own, else the newest when first asked."""
        if self._version and not self._version.load and self._written:
            return self._written
        return super().resolve_load_version()

    @property
    def has_versions(self) -> bool:
        """Whether each run writes a version of its own."""
        return self._version is not None

    @property
    def asked_for(self) -> str | None:
        """Version that is loaded whatever is newest, by `--load-versions` or `pin`."""
        return self._version.load if self._version else None

    def pin(self, version: str) -> None:
        """Load this version from now on."""
        self._version = Version(version, self._version.save if self._version else None)

    def finished(self, version: str) -> FinishedArtifact | None:
        """An earlier version, to be saved as this run's; None where it isn't there."""
        path = Path(self._get_versioned_path(version))
        return FinishedArtifact(path) if self.has_versions and path.exists() else None

    def _copied(self, data: object) -> bool:
        """Save an artifact of an earlier run as it is; False if `data` is none."""
        if not isinstance(data, FinishedArtifact):
            return False
        with self._appearing() as temporary:
            if data.path.is_dir():
                shutil.copytree(data.path, temporary)
            else:
                shutil.copy2(data.path, temporary)
        return True

    @contextmanager
    def _appearing(self) -> Iterator[Path]:
        """Temporary path of a version, which is renamed at the end."""
        target = Path(self._get_save_path())
        try:
            with appearing_whole(target) as temporary:
                yield temporary
        except OSError as error:
            raise DatasetError(str(error)) from error
        self._written = self.resolve_save_version()

    def _is_there(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except DatasetError:
            return False
