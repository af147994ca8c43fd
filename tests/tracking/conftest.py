"""A database of MLflow's own making; it takes seconds, so tests copy one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slimp_pipeline.tracking.database import create_database


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that copy it in one process."""
    for item in items:
        if "database" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("mlflow_database"))


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    create_database(path, path.parent / "mlruns")
    return path


@pytest.fixture
def database(_whole: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy it into a folder of that name."""

    def copy(folder: str = "project") -> Path:
        path = tmp_path / folder / "mlflow.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_whole, path)
        return path

    return copy
