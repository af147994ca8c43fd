"""The console: errors that a person can act on are shown without a traceback."""

import logging
import os
import re
import sys
from types import TracebackType

import click
import yaml
from kedro.config import MissingConfigException
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.session.session import KedroSessionError
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from mlflow.exceptions import MlflowException
from omegaconf.errors import OmegaConfBaseException

from slimp_pipeline.console.command_line import command_line_in_words
from slimp_pipeline.console.failures import failure_in_words, without_traceback

_FOR_PEOPLE = (
    ValueError,
    OSError,
    FloatingPointError,
    DatasetError,
    ParameterValidationError,
    OmegaConfBaseException,
    KedroSessionError,
    MissingConfigException,
    MlflowException,
    yaml.YAMLError,
)
_REPORT = (
    "error: this is a fault of slimp-pipeline, not of your data or settings{step}. Please send its maintainers the "
    "lines above, your command and what `pip freeze` prints; no pictures and no rows of tables"
)
_shown: set[str] = set()  # HDF5 raises a full disk anew for every object that it can't close
_DATASET = re.compile(r"Failed (?:while|during) (loading|saving|exists|release)\b.*?\n", re.DOTALL)
_FILE = re.compile(r"filepath=(?:\w+\()?'?([^',)]+)")


def show_errors_plainly() -> None:
    """Print what went wrong, not where in the code; `SLIMP_TRACEBACK=1` shows both."""
    if not os.environ.get("SLIMP_TRACEBACK"):
        sys.excepthook, sys.unraisablehook = _excepthook, _unraisablehook
        logging.getLogger("kedro.pipeline.node").setLevel(logging.CRITICAL)  # what it finds is said here
        KedroCliError.show = click.ClickException.show  # type: ignore[method-assign]  # Kedro's prints "NoneType: None"


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    step = _step(traceback)
    words = error_in_words(error, traceback)
    if words is None:
        sys.__excepthook__(kind, error, traceback)
        print(f"\n{_REPORT.format(step=f' (in {step})' if step else '')}", file=sys.stderr)
    elif words not in _shown:
        _shown.add(words)
        where = f"in {step}; " if step else ""
        print(f"\nerror: {words}\n({where}SLIMP_TRACEBACK=1 shows where in the code)", file=sys.stderr)


def _unraisablehook(unraisable: "sys.UnraisableHookArgs") -> None:
    """What arises while objects are cleared away: nothing new after the error that ended the run."""
    if not _shown:
        sys.__unraisablehook__(unraisable)


def error_in_words(error: BaseException, traceback: TracebackType | None = None) -> str | None:
    """Say what went wrong and what to do.

    Args:
        error: What ended the run.
        traceback: Where it was raised.

    Returns:
        None where only a programmer can mend it.
    """
    if isinstance(error, DatasetError) and error.__cause__ and (found := _DATASET.match(str(error))):
        return _dataset_in_words(error.__cause__, found[1], str(error), traceback)
    if words := failure_in_words(error, traceback) or command_line_in_words(error, traceback):
        return words
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("slimp_pipeline"):
        return f"the Python package {error.name} isn't installed: run `make setup`, or `pip install -e .`"
    if isinstance(error, ParameterValidationError):  # in the words of pydantic
        lines = [line for line in str(error).splitlines() if "errors.pydantic.dev" not in line]
        return re.sub(r" Failed to instantiate .*", "", "\n".join(lines)).replace(
            "Extra inputs are not permitted", "there is no such parameter"
        )
    return without_traceback(str(error)) if isinstance(error, _FOR_PEOPLE) else None


def _dataset_in_words(cause: BaseException, action: str, message: str, traceback: TracebackType | None) -> str | None:
    """Kedro names a dataset by all of its settings: what counts is the file."""
    found = _FILE.search(message)
    file = os.path.relpath(found[1]) if found else ""
    if words := failure_in_words(cause, traceback, file):
        return words
    words = error_in_words(cause, cause.__traceback__)
    done = {"loading": "read", "saving": "written"}.get(action, "checked")
    return f"{file} can't be {done}: {words}" if file and words and file not in words else words


def _step(traceback: TracebackType | None) -> str:
    """Name of the node that was running."""
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_globals.get("__name__") == "kedro.runner.task" and "node" in frame.f_locals:
            return str(frame.f_locals["node"].name)
        traceback = traceback.tb_next
    return ""
