"""Pre-trained encoders: one checkpoint folder per partition."""

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from slimp_pipeline.datasets.whole import appearing_whole
from slimp_pipeline.models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


class CheckpointsDataset(AbstractVersionedDataset[dict[str, Checkpoint], dict[str, Checkpoint]]):
    """A folder with one checkpoint folder per partition; a version appears whole or not at all."""

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=PurePosixPath(filepath), version=version)
        self.metadata = metadata

    def load(self) -> dict[str, Checkpoint]:
        """Load the latest version: partition -> checkpoint."""
        folders = sorted(path for path in self.folder().iterdir() if path.is_dir())
        return {path.name: read_checkpoint(path) for path in folders}

    def save(self, data: dict[str, Checkpoint]) -> None:
        """Write all checkpoints under a temporary name, then rename their folder."""
        with appearing_whole(Path(self._get_save_path())) as temporary:
            temporary.mkdir()
            for name, checkpoint in data.items():
                write_checkpoint(checkpoint, temporary / name)

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
