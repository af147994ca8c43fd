"""An exported model as one artifact."""

from pathlib import Path

from slimp_pipeline.datasets.folder import FolderDataset
from slimp_pipeline.handover.exported import Exported


class ExportDataset(FolderDataset[Exported | Path]):
    """Saves what is exported; loads as its folder, which is what others take."""

    def read(self, folder: Path) -> Path:
        """The folder itself."""
        return folder

    def write(self, folder: Path, data: Exported | Path) -> None:
        """Write all files."""
        if not isinstance(data, Exported):
            raise TypeError("an exported model is saved once, by the node that makes it")
        data.write(folder)
