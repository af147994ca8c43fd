"""Where a cohort's raw files are: its tables, and one entry per image."""

import re
import shutil
from pathlib import Path

import h5py
import pandas as pd

from slimp_pipeline.cohorts.fabricated import FABRICATORS
from slimp_pipeline.cohorts.spec import CohortSpec, FabricatedSpec

COLUMNS = ["role", "image_id", "path", "key", "size_bytes", "mtime_ns"]


def find_raw_files(spec: CohortSpec, raw_root: Path, fabricated_root: Path) -> pd.DataFrame:
    """List a cohort's raw files; a fabricated cohort is made first if it isn't there.

    Args:
        spec: The cohort.
        raw_root: Folder that holds one folder per cohort.
        fabricated_root: The same for fabricated cohorts (raw data may be read-only).

    Returns:
        One row per table and per image: role (`table`, `image`), image_id (file stem or HDF5 key),
        path, key (inside an HDF5 file, else empty), size_bytes, mtime_ns.

    Raises:
        FileNotFoundError: If the folder or a required table isn't there; says where it was looked for.
        ValueError: If an HDF5 file of images can't be opened.
    """
    folder = (fabricated_root if spec.fabricated else raw_root) / spec.folder
    if spec.fabricated:
        _fabricate_if_absent(spec.fabricated, folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"cohort {spec.name}: no folder {folder}. Put {spec.title} there ({spec.source}), or set "
            "SLIMP_RAW to the folder that holds the cohorts' folders."
        )
    rows = [_entry("table", path) for path in _tables(spec, folder)] + _images(spec, folder)
    return pd.DataFrame(rows, columns=COLUMNS)


def _fabricate_if_absent(spec: FabricatedSpec, folder: Path) -> None:
    stamp, settings = folder / "fabricated.json", spec.model_dump_json()
    if stamp.is_file() and stamp.read_text() == settings:
        return
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    FABRICATORS[spec.layout](unfinished, num_patients=spec.num_patients, seed=spec.seed)
    (unfinished / stamp.name).write_text(settings)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)


def _tables(spec: CohortSpec, folder: Path) -> list[Path]:
    paths = []
    for table in spec.tables:
        found = next((folder / name for name in table.file if (folder / name).is_file()), None)
        if found is not None:
            paths.append(found)
        elif table.required:
            raise FileNotFoundError(
                f"cohort {spec.name}: no table {' or '.join(table.file)} in {folder} "
                f"(there: {', '.join(sorted(p.name for p in folder.iterdir())[:10]) or 'nothing'})."
            )
    return paths


def _images(spec: CohortSpec, folder: Path) -> list[dict]:
    if spec.images is None:
        return []
    source = next((folder / name for name in spec.images.sources if (folder / name).exists()), None)
    if source is None:
        return []
    if source.is_file():
        return [_entry("image", source, image_id=key, key=key) for key in _hdf5_keys(source)]
    pattern = re.compile(spec.images.pattern or "")
    suffixes = {suffix.lower() for suffix in spec.images.suffixes}
    return [
        _entry("image", path, image_id=path.stem)
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in suffixes and pattern.match(path.stem) and path.is_file()
    ]


def _hdf5_keys(path: Path) -> list[str]:
    try:
        with h5py.File(path, "r") as file:
            return sorted(file)
    except OSError as error:
        raise ValueError(f"{path} is no whole HDF5 file ({error}). Fetch it again.") from error


def _entry(role: str, path: Path, *, image_id: str = "", key: str = "") -> dict:
    stat = path.stat()
    return dict(zip(COLUMNS, (role, image_id, str(path), key, stat.st_size, stat.st_mtime_ns), strict=True))
