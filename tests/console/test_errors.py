"""Errors that a person can act on come without a traceback; those of the code keep it and say where to report them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.config import MissingConfigException
from kedro.framework.cli.utils import KedroCliError
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from mlflow.exceptions import MlflowException

from slimp_pipeline.console import errors as console
from slimp_pipeline.console.errors import error_in_words


def raised_by(call: Callable[[], Any]) -> tuple[BaseException, TracebackType | None]:
    with pytest.raises(BaseException) as error:
        call()
    return error.value, error.value.__traceback__


@pytest.mark.parametrize(
    "error",
    [
        ValueError("rows are broken"),
        FileNotFoundError("there is no encoder yet"),
        FloatingPointError("the loss is no number"),
        MissingConfigException("no files"),
        MlflowException("experiment deleted"),
        yaml.YAMLError("bad"),
        DatasetError("a dataset"),
    ],
)
def test_an_error_for_people_is_its_own_message(error: Exception) -> None:
    assert error_in_words(error) == str(error)


@pytest.mark.parametrize("error", [KeyError("sex"), TypeError("x"), RuntimeError("shapes differ"), AssertionError()])
def test_an_error_of_the_code_is_none_for_people(error: Exception) -> None:
    assert error_in_words(error) is None


def test_a_missing_package_says_how_to_install_it() -> None:
    words = error_in_words(ModuleNotFoundError("No module named 'openpyxl'", name="openpyxl"))
    assert words == "the Python package openpyxl isn't installed: run `make setup`, or `pip install -e .`"
    assert error_in_words(ModuleNotFoundError("no", name="slimp_pipeline.nope")) is None


def test_a_wrong_parameter_is_said_without_the_names_of_classes() -> None:
    error = ParameterValidationError(
        "Parameter validation failed:\n- Parameter 'x': Failed to instantiate X for parameter 'x': 1 error\n"
        "y\n  Extra inputs are not permitted [type=extra_forbidden]\n    For further information visit https://errors.pydantic.dev/2"
    )
    words = str(error_in_words(error))
    assert "there is no such parameter" in words and "https" not in words and "instantiate" not in words


def test_a_damaged_artifact_is_named_by_its_file_and_not_by_a_datasets_settings(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"not a table")
    words = str(error_in_words(*raised_by(ParquetDataset(filepath=str(path)).load)))
    assert "table.parquet is damaged or incomplete" in words and "ParquetDataset" not in words


def test_an_artifact_in_a_folder_without_rights_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    dataset = CSVDataset(filepath=str(tmp_path / "data/table.csv"))
    words = str(error_in_words(*raised_by(lambda: dataset.save(pd.DataFrame({"a": [1]})))))
    assert "data" in words and "Failed while saving" not in words


def test_an_unexpected_error_of_a_dataset_stays_unexpected(tmp_path: Path) -> None:
    error, traceback = raised_by(lambda: CSVDataset(filepath=str(tmp_path / "a.csv")).save(7))  # type: ignore[arg-type]
    assert isinstance(error, DatasetError) and error_in_words(error, traceback) is None


def shown(code: str, **environment: str) -> str:
    start = "import sys\nfrom slimp_pipeline.console.errors import show_errors_plainly\nshow_errors_plainly()\n"
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, env={"PATH": "", **environment}, capture_output=True, text=True).stderr


def test_the_console_shows_what_went_wrong_and_once() -> None:
    hook = "sys.excepthook(ValueError, ValueError('rows are broken'), None)\n"
    assert shown(hook + hook) == "\nerror: rows are broken\n(SLIMP_TRACEBACK=1 shows where in the code)\n"


def test_the_console_shows_everything_on_request() -> None:
    assert "Traceback (most recent call last)" in shown("raise ValueError('x')", SLIMP_TRACEBACK="1")


def test_an_unexpected_error_keeps_its_traceback_and_says_what_to_report() -> None:
    said = shown("raise KeyError('sex')")
    assert "Traceback (most recent call last)" in said and "KeyError: 'sex'" in said
    assert "this is a fault of slimp-pipeline" in said and "no pictures and no rows of tables" in said


def test_the_step_that_failed_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from kedro.framework.hooks.manager import _NullPluginManager
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import Pipeline, node
    from kedro.runner import SequentialRunner

    def refuse(_: int) -> int:
        raise ValueError("rows are broken")

    pipeline = Pipeline([node(refuse, "a", "b", name="target.read_lesions")])
    catalog = DataCatalog({"a": MemoryDataset(1), "b": MemoryDataset()})
    error, traceback = raised_by(lambda: SequentialRunner().run(pipeline, catalog, _NullPluginManager()))
    monkeypatch.setattr(console, "_shown", set())
    console._excepthook(type(error), error, traceback)
    said = capsys.readouterr().err
    assert "error: rows are broken\n(in target.read_lesions; SLIMP_TRACEBACK=1" in said


def test_a_refused_option_is_shown_by_its_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in ((sys, "excepthook"), (sys, "unraisablehook"), (KedroCliError, "show")):
        monkeypatch.setattr(place, name, getattr(place, name))  # as it was, afterwards
    console.show_errors_plainly()
    KedroCliError("Expected the form of 'load_versions'").show()
    assert capsys.readouterr().err == "Error: Expected the form of 'load_versions'\n"
