"""What a run notes in MLflow: at once where its store answers, else once it does again. A run outlives a server."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import mlflow
from mlflow.exceptions import MlflowException
from requests import RequestException

from slimp_pipeline.tracking.ends import writing_unbroken
from slimp_pipeline.tracking.server import why_away
from slimp_pipeline.tracking.store import without_password

logger = logging.getLogger(__name__)
_PAUSE_S = 60  # between two questions whether a server is back


class Notes:
    """Notes of one run, made in order. Those that a server which is away can't take wait until it is back."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._away_at: float | None = None
        self._lock = threading.RLock()  # nodes may run in threads

    def add(self, note: Callable[[], object]) -> None:
        """Make a note; where the server is away it waits, and the run goes on.

        Args:
            note: Calls MLflow. It may be called again where the server went amidst.

        Raises:
            MlflowException: If the store answers, and refuses.
        """
        with self._lock:
            self._waiting.append(note)
            if self._away_at is None or time.monotonic() - self._away_at > _PAUSE_S:
                self._make()

    def end(self) -> None:
        """Make what still waits, and say so where that can't be."""
        with self._lock:
            if self._waiting:
                self._make()
            if self._waiting:
                logger.warning(
                    "The MLflow server %s is away still: it lacks the end of this run. All results are kept where "
                    "artifacts lie, as told below",
                    _server(),
                )

    def _make(self) -> None:
        if self._away_at is not None and why_away(mlflow.get_tracking_uri()):
            self._away_at = time.monotonic()
            return
        while self._waiting:
            try:
                with writing_unbroken():
                    self._waiting[0]()
            except (MlflowException, RequestException) as error:
                uri = mlflow.get_tracking_uri()
                why = why_away(uri) if uri.startswith("http") else None
                if why is None:
                    raise
                if self._away_at is None:
                    logger.warning(
                        "The MLflow server %s has gone (%s). The run goes on; what is to be noted waits for it",
                        _server(), why,
                    )  # fmt: skip
                logger.debug("What MLflow said: %s", error)
                self._away_at = time.monotonic()
                return
            self._waiting.popleft()
        if self._away_at is not None:
            self._away_at = None
            logger.info("The MLflow server %s is back, and knows what it missed", _server())


def _server() -> str:
    return without_password(mlflow.get_tracking_uri())
