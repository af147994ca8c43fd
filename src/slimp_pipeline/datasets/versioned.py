"""Versioned artifacts: written whole, and read by the run that wrote them as it wrote them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from slimp_pipeline.processes.depot import depot_of
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

    Args:
        filepath: Path of the artifact, or its address in a bucket: a local path stands for it then.
        version: Set by Kedro.
        of_folders: Whether versions are folders.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    _written: str | None = None

    def __init__(
        self,
        filepath: str,
        version: Version | None,
        *,
        of_folders: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._depot = depot_of(filepath, of_folders=of_folders)
        super().__init__(
            filepath=PurePosixPath(self._depot.local),
            version=version,
            exists_function=self._depot.exists,
            glob_function=self._depot.matching,  # type: ignore[arg-type]
        )
        self.metadata = metadata

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

    @property
    def artifact(self) -> Path:
        """Local path of the artifact, whose versions lie below."""
        return Path(self._filepath)

    @property
    def versions_read(self) -> list[str]:
        """The version that is loaded, where it was settled; one that this run wrote isn't."""
        return [self.asked_for] if self.asked_for else []

    def pin(self, version: str) -> None:
        """Load this version from now on."""
        self._version = Version(version, self._version.save if self._version else None)

    @property
    def address(self) -> str:
        """Path or address of the version that `load` reads."""
        return self._depot.address_of(Path(self._get_load_path()))

    def fetched(self) -> Path:
        """Local path of the version that `load` reads, which is there."""
        path = Path(self._get_load_path())
        self._depot.fetch(path)
        return path

    def finished(self, version: str) -> FinishedArtifact | None:
        """An earlier version, to be saved as this run's; None where it isn't there."""
        path = Path(self._get_versioned_path(version))
        if not self.has_versions or not self._depot.exists(path):
            return None
        self._depot.fetch(path)
        return FinishedArtifact(path)

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
        """Temporary path of a version, which is renamed at the end, and uploaded where it belongs into a bucket."""
        target = Path(self._get_save_path())
        try:
            with appearing_whole(target) as temporary:
                yield temporary
            self._depot.publish(target)
        except OSError as error:
            raise DatasetError(str(error)) from error
        self._written = self.resolve_save_version()

    def _is_there(self) -> bool:
        try:
            return self._depot.exists(Path(self._get_load_path()))
        except DatasetError:
            return False
