"""Artifacts of runs as they lie below the data folder: `<artifact>/<version>/<name of the artifact>`.

Links are never followed, and nothing that is reached by one is an artifact here. Raw data are nobody's artifacts, and
whatever lies beside the layers is somebody's own.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")  # Kedro's; one for each run
RAW, LISTINGS = "01_raw", "listings"  # of raw data, only what was noted of downloads is an artifact
LAYERS = (
    RAW, "02_intermediate", "03_primary", "04_feature", "05_model_input", "06_models", "07_model_output",
    "08_reporting",
)  # fmt: skip
PACKED, STORE = "image_store", "image_store.json"  # folder of packed images, and the artifact that names one of them
FINISHED = Path("07_model_output/finished")  # notes of what costly nodes gave
LINEAGE, EVALUATION = "lineage.json", "evaluation_lineage.json"  # artifacts that tell what a run rests on

_REMEDY = (
    "nothing was removed. Put it back from a copy; or, if what this run rests on may go once nothing else needs it, "
    "remove the folder"
)


@dataclass(frozen=True)
class Artifact:
    """One version of an artifact.

    Attributes:
        name: Path of the artifact below the data folder, such as `06_models/demo_tbp/encoders`.
        version: Of the run that wrote it.
    """

    name: str
    version: str

    def folder(self, data: Path) -> Path:
        """Folder of the version, which is removed as one."""
        return data / self.name / self.version

    def path(self, data: Path) -> Path:
        """The file or folder that the run wrote."""
        return self.folder(data) / Path(self.name).name

    def is_whole(self, data: Path) -> bool:
        """Whether the run wrote it to its end: it appears in one step."""
        return os.path.lexists(self.path(data))

    def others_files(self, data: Path) -> list[str]:
        """What lies in the version's folder and is no run's; what systems hide there is nobody's."""
        own = Path(self.name).name
        names = (path.name for path in self.folder(data).iterdir())
        return sorted(name for name in names if name != own and not name.startswith("."))


def artifacts(data: Path) -> Iterator[Artifact]:
    """All versions of all artifacts, whole ones and what is left of others."""
    for path, below, _ in _walk(data):
        if path == data / RAW:
            below[:] = [name for name in below if name == LISTINGS]
        below[:] = sorted(name for name in below if not name.startswith(".") and not (path / name).is_symlink())
        versions = [name for name in below if VERSION.fullmatch(name)]
        yield from (Artifact(path.relative_to(data).as_posix(), version) for version in versions)
        below[:] = [name for name in below if name not in versions]


def version_at(path: Path, data: Path) -> Iterator[tuple[str, list[str]]]:
    """Artifact and version in which a path lies, as `lineage.json` names them; nothing where it lies elsewhere."""
    path, data = path.expanduser().resolve(), data.resolve()
    parts = path.relative_to(data).parts if path.is_relative_to(data) else ()
    for place, part in enumerate(parts):
        if VERSION.fullmatch(part):
            yield "/".join(parts[:place]), [part]
            return


def packed_files(data: Path) -> Iterator[Path]:
    """Packed images, whole ones; what is being packed has a name with a dot before."""
    for folder, below, files in _walk(data):
        below[:] = [name for name in below if name != RAW and not VERSION.fullmatch(name)]
        if folder.name == PACKED:
            paths = (folder / name for name in sorted(files) if name.endswith(".arrow") and name[0] != ".")
            yield from (path for path in paths if not path.is_symlink())


def _walk(data: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """`os.walk` through the layers."""
    for folder, below, files in os.walk(data):
        if Path(folder) == data:
            below[:] = [name for name in below if name in LAYERS]
        yield Path(folder), below, files


def read_note(artifact: Artifact, data: Path) -> dict[str, Any] | None:
    """What an artifact of JSON says; None where the version holds none.

    Raises:
        ValueError: If it can't be read: what rests on what is then not known.
    """
    path = artifact.path(data)
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read ({error}), and says what is needed: {_REMEDY} {path.parent}") from error
    if not isinstance(note, dict):
        raise odd_note(artifact, data)
    return note


def odd_note(artifact: Artifact, data: Path) -> ValueError:
    """What to raise where a note isn't as a run writes it."""
    path = artifact.path(data)
    return ValueError(f"{path} doesn't say what it should, and says what is needed: {_REMEDY} {path.parent}")


def size_of(path: Path) -> tuple[int, int]:
    """Bytes and files below a path, links as they are."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size, 1
    sizes = [Path(folder, name).lstat().st_size for folder, _, files in os.walk(path) for name in files]
    return sum(sizes), len(sizes)
