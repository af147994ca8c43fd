"""Pre-trained encoders: one checkpoint folder per partition."""

from pathlib import Path
from typing import Any

from kedro.io import Version

from slimp_pipeline.datasets.folder import FolderDataset
from slimp_pipeline.models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


class CheckpointsDataset(FolderDataset[dict[str, Checkpoint]]):
    """Partition -> checkpoint, a checkpoint folder each.

    Args:
        filepath: Path of the folder, or its address in a bucket.
        may_be_absent: Where there is no version, nothing is loaded: an empty dictionary.
        version: Set by Kedro.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    def __init__(
        self,
        *,
        filepath: str,
        may_be_absent: bool = False,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, version=version, metadata=metadata)
        self.may_be_absent = may_be_absent

    def load(self) -> dict[str, Checkpoint]:
        """Load a version."""
        return {} if self.may_be_absent and not self._is_there() else super().load()

    def read(self, folder: Path) -> dict[str, Checkpoint]:
        """Read every checkpoint."""
        return {path.name: read_checkpoint(path) for path in sorted(folder.iterdir()) if path.is_dir()}

    def write(self, folder: Path, data: dict[str, Checkpoint]) -> None:
        """Write every checkpoint."""
        for name, checkpoint in data.items():
            write_checkpoint(checkpoint, folder / name)
