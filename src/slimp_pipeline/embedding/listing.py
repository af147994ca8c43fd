"""What lies in a folder of pictures: those that are to be embedded, and every other file with the reason why not."""

import os
from functools import cache
from pathlib import Path

import pandas as pd

from slimp_pipeline.cohorts.files.image_files import FoundFile, find_image_files
from slimp_pipeline.cohorts.spec import ImagesSpec
from slimp_pipeline.images.formats import START_BYTES, photograph_within

EMBEDDED, REFUSED, NO_PICTURE = "embedded", "refused", "no_picture"
COLUMNS = ["picture", "image_id", "path", "key", "size_bytes", "mtime_ns", "outcome", "reason"]
_COULD_BE_PICTURES = ("link", "name", "unreadable", "photograph")  # kinds of reasons: what is missed may matter
_OUT = "a link that leads out of the folder: what it points to isn't read"


def list_pictures(images: Path) -> pd.DataFrame:
    """List everything in a folder, or in an HDF5 file keyed by image id; links are followed inside the folder alone.

    Args:
        images: The folder or file.

    Returns:
        A row for each file, in the order of the walk, which is by name: picture (path below the folder, or key in the
        HDF5 file), image_id (its name without suffix), path, key, size_bytes, mtime_ns, outcome (`embedded` where it is
        to be, `refused`, or `no_picture`) and reason.

    Raises:
        FileNotFoundError: If there is no such folder, or no picture in it; says what is.
        ValueError: If it is a file, and no HDF5 file of pictures.
    """
    if not images.exists():
        raise FileNotFoundError(f"images: there is no folder {images}. Name the folder that holds the pictures")
    images = images.resolve()
    root, source = (images, ".") if images.is_dir() else (images.parent, images.name)
    found = find_image_files(ImagesSpec(sources=[source]), root)
    known = [_by_content(file) for file in _without_root(found, images)]
    listed = pd.DataFrame([_row(file, str(root)) for file in known], columns=COLUMNS)
    if not listed["outcome"].eq(EMBEDDED).any():
        kinds = listed["reason"].value_counts().head(3)
        reasons = "; ".join(f"{count:,} x {reason}" for reason, count in kinds.items())
        raise FileNotFoundError(f"images: no picture in {images}: {reasons or 'nothing is there'}")
    return listed


def _without_root(found: list[FoundFile], images: Path) -> list[FoundFile]:
    """Refuse what is reached by links that lead out of the folder."""
    if images.is_file():
        return found
    inside = _Inside(str(images))
    return [file if inside(file.path) else file._replace(unused=_kind_outside(file), reason=_OUT) for file in found]


def _kind_outside(file: FoundFile) -> str:
    """Of what lies outside, names alone tell what could be a picture."""
    return "outside" if file.unused and file.unused not in _COULD_BE_PICTURES else "link"


def _by_content(file: FoundFile) -> FoundFile:
    """Tell pictures from other files where the suffix doesn't: a scanner's or a phone's may be all there are."""
    if file.unused != "suffix":
        return file
    suffix = os.path.splitext(file.path)[1] or "(none)"  # noqa: PTH122
    try:
        with open(file.path, "rb") as opened:  # noqa: PTH123
            photograph = photograph_within(opened.read(START_BYTES))
    except OSError:
        photograph = ""
    if photograph:
        words = f"the suffix {suffix} is no picture's that is read: {photograph}"
        return file._replace(unused="photograph", reason=words)
    return file._replace(reason=f"the suffix {suffix} is no picture's")


class _Inside:
    """Whether a path lies in a folder once all links are followed; each folder is looked at once."""

    def __init__(self, root: str) -> None:
        self._root = os.path.join(root, "")  # noqa: PTH118
        self._is_folder_inside = cache(self._ends_inside)

    def __call__(self, path: str) -> bool:
        if os.path.islink(path):  # noqa: PTH114
            return self._ends_inside(path)
        return self._is_folder_inside(os.path.dirname(path))  # noqa: PTH120

    def _ends_inside(self, path: str) -> bool:
        return os.path.join(os.path.realpath(path), "").startswith(self._root)  # noqa: PTH118


def _row(file: FoundFile, root: str) -> tuple[str, str, str, str, int, int, str, str]:
    picture = file.key or os.path.relpath(file.path, root).replace(os.sep, "/")
    outcome = EMBEDDED if not file.unused else REFUSED if file.unused in _COULD_BE_PICTURES else NO_PICTURE
    return (picture, file.image_id, file.path, file.key, file.size_bytes, file.mtime_ns, outcome, file.reason)
