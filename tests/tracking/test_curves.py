"""Points of curves are written together, and none is lost."""

import mlflow
import pytest

from slimp_pipeline.tracking import curves
from slimp_pipeline.tracking.curves import Curves
from slimp_pipeline.tracking.notes import Notes


@pytest.fixture
def run_id(database, monkeypatch):
    monkeypatch.chdir(database().parent)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{database()}")
    yield mlflow.MlflowClient().create_run("0").info.run_id
    mlflow.set_tracking_uri(before)


def steps(run_id, name="loss"):
    return [point.step for point in mlflow.MlflowClient().get_metric_history(run_id, name)]


def test_the_first_point_is_there_at_once_and_the_next_ones_come_together(run_id):
    drawn = Curves(run_id, Notes())
    for step in range(1, 6):
        drawn.add({"loss": 1 / step, "rate": 0.1}, step)
    assert steps(run_id) == [1]
    drawn.write()
    assert steps(run_id) == steps(run_id, "rate") == [1, 2, 3, 4, 5]
    drawn.write()  # nothing waits: nothing is written twice
    assert steps(run_id) == [1, 2, 3, 4, 5]
    values = [point.value for point in mlflow.MlflowClient().get_metric_history(run_id, "loss")]
    assert values == [1 / step for step in range(1, 6)]


def test_what_waited_long_enough_is_written_with_the_next_point(run_id, monkeypatch):
    drawn = Curves(run_id, Notes())
    drawn.add({"loss": 1.0}, 1)
    drawn.add({"loss": 2.0}, 2)
    monkeypatch.setattr(curves, "_PAUSE_S", 0)
    drawn.add({"loss": 3.0}, 3)
    assert steps(run_id) == [1, 2, 3]


def test_more_points_than_mlflow_takes_at_once_are_written_in_parts(run_id, monkeypatch):
    monkeypatch.setattr(curves, "_AT_ONCE", 4)
    drawn = Curves(run_id, Notes())
    drawn.add({f"curve {number}": float(number) for number in range(10)}, 1)
    assert len(mlflow.get_run(run_id).data.metrics) == 10
