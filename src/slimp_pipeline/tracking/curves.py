"""Curves of a long computation on their way to MLflow: to write a point costs nearly what it costs to write fifty."""

import threading
import time
from functools import partial

import mlflow
from mlflow.entities import Metric

from slimp_pipeline.tracking.notes import Notes

_PAUSE_S = 5  # between two writes: curves are watched while they grow
_AT_ONCE = 1000  # that MLflow takes


class Curves:
    """Points of one run's curves, written every few seconds.

    Args:
        run_id: The MLflow run.
        notes: Of this run.
    """

    def __init__(self, run_id: str, notes: Notes) -> None:
        self._run_id, self._notes = run_id, notes
        self._waiting: list[Metric] = []
        self._written_at = time.monotonic() - _PAUSE_S  # the first point is written at once
        self._lock = threading.RLock()  # nodes may run in threads

    def add(self, values: dict[str, float], step: int) -> None:
        """Add a point to each of these curves."""
        milliseconds = int(1000 * time.time())
        with self._lock:
            self._waiting += [Metric(name, value, milliseconds, step) for name, value in values.items()]
            if time.monotonic() - self._written_at >= _PAUSE_S:
                self.write()

    def write(self) -> None:
        """Write the points that wait."""
        with self._lock:
            waiting, self._waiting, self._written_at = self._waiting, [], time.monotonic()
            for start in range(0, len(waiting), _AT_ONCE):
                self._notes.add(partial(_log, self._run_id, waiting[start : start + _AT_ONCE]))


def _log(run_id: str, points: list[Metric]) -> None:
    mlflow.MlflowClient().log_batch(run_id, metrics=points)
