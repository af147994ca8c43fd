"""The folder of a fabricated cohort: made where nothing is, and replaced only where nobody else has touched it."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from slimp_pipeline.cohorts.fabricated import FABRICATORS
from slimp_pipeline.cohorts.spec import FabricatedSpec
from slimp_pipeline.whole import appearing_whole, held

logger = logging.getLogger(__name__)
STAMP = "fabricated.json"


def provide_fabricated(spec: FabricatedSpec, folder: Path) -> None:
    """Make a fabricated cohort's files, unless they are there already.

    Args:
        spec: How they are made.
        folder: Where.

    Raises:
        FileExistsError: If files are there that weren't made here, or were changed since; nothing is touched then.
    """
    with held(folder.with_name(f".{folder.name}.lock"), f"fabricating {folder.name}"):
        stamp = _read_stamp(folder)
        if stamp and stamp["settings"] == spec.model_dump(mode="json"):
            return
        if folder.exists() or folder.is_symlink():
            _clear(folder, stamp)
        with appearing_whole(folder) as unfinished:
            unfinished.mkdir()
            FABRICATORS[spec.layout](unfinished, num_patients=spec.num_patients, seed=spec.seed)
            content = {"settings": spec.model_dump(mode="json"), "files": _files(unfinished)}
            (unfinished / STAMP).write_text(json.dumps(content), encoding="utf-8")


def _read_stamp(folder: Path) -> dict[str, Any] | None:
    """What the stamp says, which is written last of all; None where there is none of ours."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        return stamp if isinstance(stamp["settings"], dict) and isinstance(stamp["files"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear(folder: Path, stamp: dict[str, Any] | None) -> None:
    """Remove a fabricated cohort made with other settings: only if the folder holds exactly what was made."""
    if not folder.is_dir() or folder.is_symlink() or stamp is None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            return
        raise FileExistsError(
            f"{folder} is there already, and wasn't fabricated here: nothing in it was touched. A fabricated cohort "
            "needs a folder of its own: set another `folder`, or, if the data are yours, remove `fabricated` from the "
            "cohort's YAML."
        )
    there = _files(folder)
    if foreign := sorted(name for name in there if there[name] != stamp["files"].get(name)):
        raise FileExistsError(
            f"{folder} was fabricated with other settings, and since then {foreign[0]}"
            f"{f' and {len(foreign) - 1} others' if len(foreign) > 1 else ''} were put there or changed: nothing was "
            "touched. Move the folder away, or set another `folder`."
        )
    shutil.rmtree(folder)


def _files(folder: Path) -> dict[str, list[int]]:
    """Every entry below a folder but its stamp: path -> size and time; of a link or a folder, what it is."""
    entries = {}
    for path in folder.rglob("*"):
        stat, name = path.lstat(), path.relative_to(folder).as_posix()
        if name != STAMP:
            entries[name] = (
                [stat.st_size, stat.st_mtime_ns] if path.is_file() and not path.is_symlink() else [-1, stat.st_mode]
            )
    return entries
