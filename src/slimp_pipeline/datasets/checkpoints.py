"""Pre-trained encoders: one checkpoint folder per partition."""

from pathlib import Path

from slimp_pipeline.datasets.folder import FolderDataset
from slimp_pipeline.models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


class CheckpointsDataset(FolderDataset[dict[str, Checkpoint]]):
    """Partition -> checkpoint, a checkpoint folder each."""

    def read(self, folder: Path) -> dict[str, Checkpoint]:
        """Read every checkpoint."""
        return {path.name: read_checkpoint(path) for path in sorted(folder.iterdir()) if path.is_dir()}

    def write(self, folder: Path, data: dict[str, Checkpoint]) -> None:
        """Write every checkpoint."""
        for name, checkpoint in data.items():
            write_checkpoint(checkpoint, folder / name)
