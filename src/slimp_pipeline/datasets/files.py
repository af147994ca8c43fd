"""Small files that belong together."""

from pathlib import Path

from slimp_pipeline.datasets.folder import FolderDataset


class FilesDataset(FolderDataset[dict[str, bytes]]):
    """File name -> content."""

    def read(self, folder: Path) -> dict[str, bytes]:
        """Read every file."""
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def write(self, folder: Path, data: dict[str, bytes]) -> None:
        """Write every file."""
        for name, content in data.items():
            (folder / name).write_bytes(content)
