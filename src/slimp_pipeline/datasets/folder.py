"""A folder as one artifact."""

from abc import abstractmethod
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from slimp_pipeline.datasets.whole import appearing_whole

Content = TypeVar("Content")


class FolderDataset(AbstractVersionedDataset[Content, Content], Generic[Content]):
    """A folder whose versions appear whole or not at all.

    Args:
        filepath: Local path of the folder.
        version: Set by Kedro.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=PurePosixPath(filepath), version=version)
        self.metadata = metadata

    @abstractmethod
    def read(self, folder: Path) -> Content:
        """Read the content of a folder."""

    @abstractmethod
    def write(self, folder: Path, data: Content) -> None:
        """Write the content into an empty folder."""

    def load(self) -> Content:
        """Load the latest version."""
        return self.read(self.folder())

    def save(self, data: Content) -> None:
        """Write a version under a temporary name, then rename it."""
        with appearing_whole(Path(self._get_save_path())) as temporary:
            temporary.mkdir()
            self.write(temporary, data)

    def folder(self) -> Path:
        """Folder of the version that `load` reads."""
        return Path(self._get_load_path())

    def _exists(self) -> bool:
        try:
            return self.folder().is_dir()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "version": self._version}
