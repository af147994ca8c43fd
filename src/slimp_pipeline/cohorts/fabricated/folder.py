"""The folder of a fabricated cohort: made where nothing is, and never removed."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from slimp_pipeline.cohorts.fabricated import FABRICATORS
from slimp_pipeline.cohorts.spec import FabricatedSpec
from slimp_pipeline.processes.whole import appearing_whole, held

STAMP = "fabricated.json"


def provide_fabricated(spec: FabricatedSpec, folder: Path) -> Path:
    """Make a fabricated cohort's files, unless they are there already.

    Args:
        spec: How they are made.
        folder: Where.

    Returns:
        The folder that holds them: `folder`; or, where that holds a cohort that was fabricated with other settings,
        which another run may be reading, one beside it.

    Raises:
        FileExistsError: If files are there that weren't fabricated; nothing is touched then.
    """
    with held(folder.with_name(f".{folder.name}.lock"), f"fabricating {folder.name}"):
        stamp = _stamp(folder)
        if stamp is None and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise FileExistsError(
                f"{folder} is there already, and wasn't fabricated: nothing in it was touched. A fabricated cohort "
                "needs a folder of its own: set another `folder`; or, if the data are yours, remove `fabricated` from "
                "the cohort's YAML."
            )
        if stamp is not None and stamp != spec:
            digest = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:8]
            return provide_fabricated(spec, folder.with_name(f"{folder.name}.{digest}"))
        if stamp is None:
            with appearing_whole(folder) as unfinished:
                unfinished.mkdir()
                FABRICATORS[spec.layout](unfinished, num_patients=spec.num_patients, seed=spec.seed)
                (unfinished / STAMP).write_text(spec.model_dump_json(), encoding="utf-8")
    return folder


def _stamp(folder: Path) -> FabricatedSpec | None:
    """Settings with which a folder was fabricated, written last of all; None where it wasn't."""
    try:
        return FabricatedSpec.model_validate_json((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
