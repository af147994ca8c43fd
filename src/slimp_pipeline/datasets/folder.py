"""A folder as one artifact."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import Version

from slimp_pipeline.datasets.versioned import OwnVersionDataset
from slimp_pipeline.processes.home import told

Content = TypeVar("Content")


class FolderDataset(OwnVersionDataset[Content], Generic[Content]):
    """A folder whose versions appear whole or not at all.

    Args:
        filepath: Path of the folder, or its address in a bucket.
        version: Set by Kedro.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath, version, of_folders=True, metadata=metadata)

    @abstractmethod
    def read(self, folder: Path) -> Content:
        """Read the content of a folder."""

    @abstractmethod
    def write(self, folder: Path, data: Content) -> None:
        """Write the content into an empty folder."""

    def load(self) -> Content:
        """Load a version."""
        return self.read(self.folder())

    def save(self, data: Content) -> None:
        """Write a version under a temporary name, then rename it."""
        if self._copied(data):
            return
        with self._appearing() as temporary:
            temporary.mkdir()
            self.write(temporary, data)

    def folder(self) -> Path:
        """Folder of the version that `load` reads."""
        return self.fetched()

    def _exists(self) -> bool:
        return self._is_there()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": told(self._filepath), "version": self._version}
