"""MLflow's server: whether it answers is asked once at the start; MLflow would ask for minutes."""

import re
import threading

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from slimp_pipeline.tracking.store import without_password

_PATIENCE_S = 8


def require_answer(uri: str) -> None:
    """Look whether a server answers, whatever it says.

    Raises:
        ConnectionError: If it doesn't within seconds.
    """
    if why := why_away(uri):
        raise ConnectionError(
            f"the MLflow server {without_password(uri)} isn't there ({why}). Start it; keep the runs in the project: "
            "unset MLFLOW_TRACKING_URI (or server.mlflow_tracking_uri in conf/<env>/mlflow.yml); or set "
            "server.if_away there to go_on."
        )


def why_away(uri: str) -> str | None:
    """Say why a server isn't there; None where it answers within seconds, whatever it says."""
    problems = [f"no answer within {_PATIENCE_S} seconds"]

    def ask() -> None:
        try:
            credentials = get_default_host_creds(uri)
            answer = http_request(
                credentials, "/health", "GET", timeout=_PATIENCE_S, max_retries=0, raise_on_status=False
            )
            problems[:] = [f"it answers {answer.status_code} {answer.reason}"] if answer.status_code >= 500 else []
        except MlflowException as error:
            problems[:] = [_reason(str(error))]

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name knows no time limit
    asking.start()
    asking.join(_PATIENCE_S)
    return problems[0] if problems else None


def _reason(text: str) -> str:
    """What the system said, out of all that was wrapped around it."""
    said = re.findall(r"\[Errno -?\d+\] ([^\"')]+)", text)
    return said[-1] if said else "it doesn't answer" if "timed out" in text else without_password(text)
