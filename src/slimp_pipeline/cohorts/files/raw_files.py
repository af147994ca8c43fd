"""Where a cohort's raw files are: its tables, and one entry per image; and what lies there unused."""

import logging
from pathlib import Path

import pandas as pd

from slimp_pipeline.cohorts.fabricated.folder import provide_fabricated
from slimp_pipeline.cohorts.files.image_files import FoundFile, find_image_files, named_in
from slimp_pipeline.cohorts.spec import CohortSpec

logger = logging.getLogger(__name__)
COLUMNS = ["role", *FoundFile._fields]
_NUM_SHOWN = 10


def find_raw_files(spec: CohortSpec, raw_root: Path, fabricated_root: Path) -> pd.DataFrame:
    """List a cohort's raw files; a fabricated cohort is made first if it isn't there.

    Args:
        spec: The cohort.
        raw_root: Folder that holds one folder per cohort.
        fabricated_root: The same for fabricated cohorts (raw data may be read-only).

    Returns:
        One row per table, for the file of decisions, per image, and per other file in the folders of the image sources:
        role (`table`, `decisions`, `image`, `unused`), image_id (file stem or name in an HDF5 file), path, key (inside
        an HDF5 file; of a table its number), size_bytes, mtime_ns, unused (kind of reason) and reason.

    Raises:
        FileNotFoundError: If the folder, a required table, the file of decisions or every image source isn't there;
            says what is.
        FileExistsError: If a fabricated cohort would have to go where other files are.
        ValueError: If an HDF5 file of images can't be opened.
    """
    folder = (fabricated_root if spec.fabricated else raw_root) / spec.folder
    if spec.fabricated:
        folder = provide_fabricated(spec.fabricated, folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"cohort {spec.name}: no folder {folder.absolute()}. Put {spec.title} there ({spec.source}), or set "
            "SLIMP_RAW to the folder that holds the cohorts' folders."
        )
    tables = _tables(spec, folder)
    _require_sources(spec, folder)
    images = find_image_files(spec.images, folder) if spec.images else []
    rows = [("table", *_table(str(number), path)) for number, path in tables.items()]
    rows += [("decisions", *_table("", path)) for path in _decisions(spec, folder)]
    read = {path for _, _, path, *_ in rows}
    rows += [("unused" if file.unused else "image", *file) for file in images if file.path not in read]
    listed = pd.DataFrame(rows, columns=COLUMNS)
    if spec.images and not listed["role"].eq("image").any():
        _say_no_images(spec, spec.images.sources, folder, listed)
    return listed


def table_paths(raw_files: pd.DataFrame) -> dict[int, Path]:
    """Files of a cohort's tables by their number in the specification, out of the listing."""
    tables = raw_files[raw_files["role"] == "table"]
    return {int(number): Path(path) for number, path in zip(tables["key"], tables["path"], strict=True)}


def decisions_path(raw_files: pd.DataFrame) -> Path | None:
    """File of what people decided about a cohort's images, out of the listing; None where it has none."""
    paths = raw_files.loc[raw_files["role"] == "decisions", "path"]
    return Path(paths.iloc[0]) if len(paths) else None


def _decisions(spec: CohortSpec, folder: Path) -> list[Path]:
    if spec.decisions is None:
        return []
    path = named_in(folder, spec.decisions)
    if not path.is_file():
        raise FileNotFoundError(
            f"cohort {spec.name}: no file {path.absolute()}, which `decisions` names. Put the decision file there, or "
            "take `decisions` out of the cohort's YAML."
        )
    return [path]


def _tables(spec: CohortSpec, folder: Path) -> dict[int, Path]:
    paths = {}
    for number, table in enumerate(spec.tables):
        found = next((place for name in table.file if (place := named_in(folder, name)).is_file()), None)
        if found is not None:
            paths[number] = found
        elif table.required:
            raise FileNotFoundError(_no_table(spec, table.file, folder))
    if not paths:
        names = ", ".join(name for table in spec.tables for name in table.file)
        raise FileNotFoundError(f"cohort {spec.name}: none of {names} is in {folder} (there: {_content(folder)}).")
    return paths


def _no_table(spec: CohortSpec, names: list[str], folder: Path) -> str:
    said = f"cohort {spec.name}: no table {' or '.join(names)} in {folder} (there: {_content(folder)})."
    places = [named_in(folder, name) for name in names]
    if folders := [str(place) for place in places if place.is_dir()]:
        said += f" {folders[0]} is a folder: name the file in it."
    elif special := [str(place) for place in places if place.exists()]:
        said += f" {special[0]} is no regular file."
    return said


def _require_sources(spec: CohortSpec, folder: Path) -> None:
    if spec.images is None or spec.partial:
        return
    absent = [name for name in spec.images.sources if not named_in(folder, name).exists()]
    said = f"cohort {spec.name}: the image source {', '.join(absent)} isn't"
    if absent and spec.images.all_sources:
        raise FileNotFoundError(
            f"{said} in {folder} (there: {_content(folder)}), and all_sources asks for every one. Correct "
            "`images.sources`."
        )
    if absent and len(absent) < len(spec.images.sources):
        logger.warning("%s there: the others are read", said)


def _say_no_images(spec: CohortSpec, sources: list[str], folder: Path, listed: pd.DataFrame) -> None:
    """Refuse image sources that hold no image; a copy of a published cohort may be without."""
    there = [name for name in sources if named_in(folder, name).exists()]
    if spec.partial:
        found = (
            f"no image in {', '.join(there)}" if there else f"none of the image sources {', '.join(sources)} is there"
        )
        logger.warning("cohort %s: %s; its tables are read without images", spec.name, found)
        return
    if not there:
        said = f"none of the image sources {', '.join(sources)} is in {folder} (there: {_content(folder)})"
    else:
        kinds = listed.loc[listed["role"] == "unused", "reason"].value_counts().head(3)
        reasons = "; ".join(f"{count:,} x {reason}" for reason, count in kinds.items())
        said = f"no image in {', '.join(str(folder / name) for name in there)}: {reasons or 'nothing is there'}"
    raise FileNotFoundError(
        f"cohort {spec.name}: {said}. Correct `images` of the cohort's YAML; leave `images` out where the cohort has "
        "tables alone."
    )


def _table(key: str, path: Path) -> FoundFile:
    stat = path.stat()
    return FoundFile("", str(path), key, stat.st_size, stat.st_mtime_ns)


def _content(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else ""
    return ", ".join(names[:_NUM_SHOWN]) + more if names else "nothing"
