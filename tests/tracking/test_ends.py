"""How runs ended, as MLflow has it."""

import dataclasses
import json
import os
import signal
import sys
import threading
import time

import mlflow
import pytest

from slimp_pipeline.processes.process import Process
from slimp_pipeline.processes.stopping import Stopped, stoppable
from slimp_pipeline.tracking.ends import bearing_their_process, end_killed_runs, ending_truly, writing_unbroken


@pytest.fixture
def store(database, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "unset")  # what MLflow sets there is gone after the test
    path = database()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    experiment = mlflow.create_experiment("mine", (path.parent / "mlruns/mine").as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def status(client, run):
    return client.get_run(run.info.run_id).info.status


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KeyboardInterrupt(), "KILLED"), (Stopped(143), "KILLED"), (ValueError(), "FAILED"), (SystemExit(2), "FAILED")],
)
def test_a_run_that_is_stopped_or_fails_isnt_called_finished(store, error, expected):
    with pytest.raises(type(error)), ending_truly():
        run = mlflow.start_run()
        raise error
    assert status(store, run) == expected and mlflow.active_run() is None


def test_a_run_that_was_opened_for_every_node_is_closed_for_good(store):
    with ending_truly():
        run = mlflow.start_run()
        mlflow.start_run(run_id=run.info.run_id, nested=True)
        mlflow.end_run()
    assert status(store, run) == "FINISHED" and mlflow.active_run() is None


def test_a_run_that_the_caller_opened_is_the_callers_to_close(store):
    run = mlflow.start_run()
    with pytest.raises(KeyboardInterrupt), ending_truly():
        raise KeyboardInterrupt
    assert status(store, run) == "RUNNING" and mlflow.active_run().info.run_id == run.info.run_id


def test_a_run_whose_process_was_killed_is_noted_as_killed_and_no_other_one(store, caplog):
    own = Process.own()
    processes = {
        "killed": dataclasses.replace(own, started="1").as_text(),
        "running": own.as_text(),
        "elsewhere": dataclasses.replace(own, host="another", started="1").as_text(),
        "of another program": "",
    }
    experiment = mlflow.get_experiment_by_name("mine").experiment_id
    runs = {}
    for name, process in processes.items():
        tags = {"process": process} if process else {}
        runs[name] = store.create_run(experiment, run_name=name, tags=tags)
    with caplog.at_level("INFO"):
        end_killed_runs()
    assert {name for name, run in runs.items() if status(store, run) == "KILLED"} == {"killed"}
    assert f"MLflow run {runs['killed'].info.run_id} (killed) was killed: noted as such" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("seconds", [0, 0.004, 0.008, 0.012, 0.016, 0.02])
def test_a_signal_amidst_writing_keeps_the_database_from_nobody(store, monkeypatch, seconds):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    began = time.monotonic()
    with pytest.raises(Stopped), stoppable(), ending_truly():
        run = mlflow.start_run()
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()
        for step in range(10**6):
            with writing_unbroken():
                mlflow.log_metric("loss", 1.0, step=step)
    assert status(store, run) == "KILLED" and time.monotonic() - began < 20


def test_runs_bear_their_process_from_their_very_start(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps({"cluster": "a"}))
    with bearing_their_process():
        run = mlflow.start_run()
    assert Process.from_text(run.data.tags["process"]) == Process.own()
    assert run.data.tags["cluster"] == "a"
    assert os.environ["MLFLOW_RUN_CONTEXT"] == json.dumps({"cluster": "a"})
