"""Where artifacts lie: a local folder, or a bucket with a local folder that stands for it."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path


class Depot:
    """A local folder: artifacts are read and written where they lie.

    Attributes:
        local: Where artifacts are read and written; all paths that are given to it lie below.
        is_elsewhere: Whether they are kept at another place than that.

    Args:
        address: The folder.
    """

    is_elsewhere = False

    def __init__(self, address: str) -> None:
        self.local = Path(address)

    def require_usable(self) -> None:
        """Look whether artifacts can be kept here: that is found out now, not when the first result is to be kept.

        Raises:
            OSError: If they can't be; says what to do.
        """
        folder = self.local
        if folder.is_symlink() and not folder.exists():
            raise FileNotFoundError(f"{folder} is a link to {folder.readlink()}, which isn't there")
        place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(
                f"{place} can't be written, and results are kept there. Check its rights (ls -ld {place}), or make "
                f"{folder.name} a link to a folder of yours."
            )

    def address_of(self, path: Path) -> str:
        """Path of an artifact as it is told to people."""
        return str(path)

    def exists(self, path: Path | str) -> bool:
        """Whether an artifact is there, whole."""
        return Path(path).exists()

    def matching(self, pattern: str) -> Iterable[str]:
        """Paths of the versions of an artifact that are there, whole: `<artifact>/*/<file name>`."""
        return glob.iglob(pattern)  # noqa: PTH207  (as Kedro does)

    def fetch(self, path: Path) -> None:
        """Bring an artifact to its local path."""

    def publish(self, path: Path) -> None:
        """Let others find an artifact that was written to its local path: all of it at once."""

    def read_note(self, path: Path) -> str | None:
        """Text of a small file that may be written again and again; None where it isn't there."""
        try:
            return path.read_text(encoding="utf-8")
        except OSError:
            return None


def depot_of(address: str | Path, *, of_folders: bool = False) -> Depot:
    """The depot of a local folder or of an address `s3://bucket/folder`.

    Args:
        address: Folder or address.
        of_folders: Whether what lies there are folders, not files.

    Raises:
        ValueError: If it is an address of another kind.
    """
    if "://" not in str(address):
        return Depot(str(address))
    from slimp_pipeline.processes.bucket import Bucket

    return Bucket(str(address), of_folders=of_folders)
