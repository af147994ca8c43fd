"""Two at once: in two processes, and in the threads of one."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import mlflow
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import ParallelRunner, ThreadRunner

ONE_COHORT = {
    "source_cohort": "demo_clinic",
    "target_cohort": "demo_clinic",
    "source": {"cohort": {"fabricated": {"num_patients": 60}}},
}


def runs_of(project) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(project.folder / "mlflow.db")) as connection:
        return connection.execute("SELECT status, artifact_uri FROM runs").fetchall()


def test_two_first_runs_in_the_same_second_both_find_mlflow_set_up(fresh):
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SLIMP_", "MLFLOW_"))}
    command = [sys.executable, "-m", "kedro", "run", "--env=test", "--pipeline=fabricate"]
    options = {
        "cwd": fresh.folder,
        "env": variables,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    ends = [(*process.communicate(timeout=200), process.returncode) for process in both]
    assert [code for *_, code in ends] == [0, 0], ends
    assert [status for status, _ in runs_of(fresh)] == ["FINISHED", "FINISHED"]
    with closing(sqlite3.connect(fresh.folder / "mlflow.db")) as connection:
        names = sorted(row[0] for row in connection.execute("SELECT name FROM experiments"))
    assert names == ["Default", "slimp-test"]


def run_by(project, runner) -> None:
    with contextlib.chdir(project.folder):
        bootstrap_project(project.folder)
        with KedroSession.create(project.folder, env="test", runtime_params=ONE_COHORT) as session:
            session.run(pipeline_names=["ingest"], runner=runner)


def test_threads_log_both_roles_of_one_cohort_in_one_run(fresh):
    run_by(fresh, ThreadRunner())
    assert [status for status, _ in runs_of(fresh)] == ["FINISHED"]
    mlflow.set_tracking_uri(f"sqlite:///{fresh.folder}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    assert run.data.tags["source_fingerprint"] == run.data.tags["target_fingerprint"]
    assert run.data.params["source.cohort"] == run.data.params["target.cohort"] == "demo_clinic"


def test_processes_are_refused_before_anything_runs(fresh):
    with pytest.raises(ValueError, match=r"ParallelRunner isn't for this project: .* --runner=ThreadRunner"):
        run_by(fresh, ParallelRunner())
    assert not runs_of(fresh) and not (fresh.folder / "data").exists()
