"""The console: errors that a person can act on are shown without a traceback."""

import os
import re
import sys
from types import TracebackType

from kedro.framework.session.session import KedroSessionError
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

_FOR_PEOPLE = (
    ValueError,
    OSError,
    FloatingPointError,
    DatasetError,
    ParameterValidationError,
    OmegaConfBaseException,
    KedroSessionError,
)


def show_errors_plainly() -> None:
    """Print what went wrong, not where in the code; `SLIMP_TRACEBACK=1` shows both."""
    if not os.environ.get("SLIMP_TRACEBACK"):
        sys.excepthook = _excepthook


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, _FOR_PEOPLE):
        print(f"\nerror: {_in_words(error)}\n(SLIMP_TRACEBACK=1 shows where in the code)", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def _in_words(error: BaseException) -> str:
    if isinstance(error, InterpolationKeyError) and str(error.full_key).endswith(".cohort"):
        return (
            f"{str(error).splitlines()[0]}: there is no such cohort. Each cohort has a YAML file in "
            "conf/base/parameters/cohorts; its top-level key is the cohort's name."
        )
    if isinstance(error, ParameterValidationError):  # in the words of pydantic
        lines = [line for line in str(error).splitlines() if "errors.pydantic.dev" not in line]
        return re.sub(r" Failed to instantiate .*", "", "\n".join(lines)).replace(
            "Extra inputs are not permitted", "there is no such parameter"
        )
    return str(error)
