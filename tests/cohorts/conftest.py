"""Cohort specifications as a run loads them, small ones for a test, and the folder of real data."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader

from slimp_pipeline.cohorts.files.raw_files import find_raw_files, table_paths
from slimp_pipeline.cohorts.rows.reader import Reading, read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[2]

Rows = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="session")
def parameters() -> dict[str, Any]:
    return OmegaConfigLoader(str(PROJECT / "conf"), **CONFIG_LOADER_ARGS)["parameters"]


@pytest.fixture(scope="session")
def shipped_spec(parameters: dict[str, Any]) -> Callable[[str], CohortSpec]:
    return lambda name: CohortSpec(**parameters[name])


@pytest.fixture(scope="session")
def read_raw(shipped_spec: Callable[[str], CohortSpec]) -> Callable[[str, Path], Rows]:
    """Read a shipped cohort below a raw root: rows, quarantine, listed images."""

    def read(name: str, raw_root: Path) -> Rows:
        spec = shipped_spec(name)
        files = find_raw_files(spec, raw_root, raw_root / "fabricated")
        reading = read_rows(spec, table_paths(files))
        return reading.rows, reading.quarantine, files[files["role"] == "image"]

    return read


@pytest.fixture(scope="session")
def real_root() -> Path:
    if "SLIMP_RAW" not in os.environ:
        pytest.skip("SLIMP_RAW is not set: real cohorts are read only where it names their folder")
    return Path(os.environ["SLIMP_RAW"])


def small_spec(**changes: Any) -> CohortSpec:
    """A cohort with one field of each kind."""
    settings: dict[str, Any] = {
        "name": "small",
        "title": "Small",
        "licence": "CC0",
        "source": "made by hand",
        "folder": "small",
        "partial": True,
        "tables": [{"file": "table.csv"}],
        "image_id": "image",
        "lesion_id": ["lesion"],
        "patient_id": ["patient"],
        "label": {"column": "dx", "classes": {"nv": "nevus", "mel": "melanoma"}, "malignant": ["melanoma"]},
        "fields": {
            "age_years": {"kind": "numeric", "level": "patient", "column": "age", "minimum": 0, "maximum": 120},
            "sex": {"kind": "categorical", "level": "patient", "column": "sex", "categories": ["female", "male"]},
            "symptom": {"kind": "checkbox", "level": "lesion", "options": {"itch": "itches", "bleed": "bleeds"}},
        },
        "leaks": {"biopsied": "suspicious lesions are biopsied"},
    }
    return CohortSpec(**{**settings, **changes})


@pytest.fixture
def make_spec() -> Callable[..., CohortSpec]:
    return small_spec


@pytest.fixture
def read_table(read_tables: Callable[..., Reading]) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    """Read the text of a table (or of several) with a small specification."""

    def read(*texts: str, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        reading = read_tables(*texts, **changes)
        return reading.rows, reading.quarantine.drop(columns=["table", "kept"])

    return read


@pytest.fixture
def read_tables(tmp_path: Path) -> Callable[..., Reading]:
    """Write the texts as the tables of a small specification, and read them."""

    def read(*texts: str, **changes: Any) -> Reading:
        paths = {}
        spec = small_spec(**changes)
        for number, (table, text) in enumerate(zip(spec.tables, texts, strict=True)):
            paths[number] = tmp_path / table.file[0]
            paths[number].parent.mkdir(parents=True, exist_ok=True)
            paths[number].write_text(text, encoding="utf-8")
        return read_rows(spec, paths)

    return read
