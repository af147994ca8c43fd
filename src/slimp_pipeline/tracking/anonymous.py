"""What MLflow would note of people and machines without being asked, left out; see docs/hand_over/privacy.md."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CONTEXT = "MLFLOW_RUN_CONTEXT"  # tags that MLflow gives to what it makes, over its own
_NOBODY = {"mlflow.user": "not noted", "mlflow.source.name": "kedro run"}  # else the account, and the program's path
_PLACE = re.compile(r"\s*(file:|~|([A-Za-z]:)?[/\\]|\.\.([/\\]|$))")
PLACE = "(a path)"


@contextmanager
def anonymous(**tags: str) -> Iterator[None]:
    """MLflow notes neither account nor program of what it makes here, and these tags besides.

    What the user has put into MLFLOW_RUN_CONTEXT stays: who wants a name noted sets `{"mlflow.user": "Anna"}` there.
    """
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = json.dumps(_NOBODY | json.loads(before or "{}") | tags)
    try:
        yield
    finally:
        os.environ.pop(_CONTEXT)
        if before is not None:
            os.environ[_CONTEXT] = before


def without_places(value: Any) -> Any:
    """A parameter's value, in which `(a path)` stands for what says where things lie on this machine.

    Paths within the project, as they are typed, and addresses (`s3://`, `https://`) stay.
    """
    if isinstance(value, dict):
        return {name: without_places(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(part) for part in value]
    return PLACE if isinstance(value, str) and _PLACE.match(value) else value
