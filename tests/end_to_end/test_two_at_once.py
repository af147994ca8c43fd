"""Two at once, in the threads of one process or in several."""

import contextlib
import sqlite3
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


def runs_of(project) -> list[str]:
    with closing(sqlite3.connect(project.folder / "mlflow.db")) as connection:
        return [row[0] for row in connection.execute("SELECT status FROM runs")]


@pytest.fixture(scope="module")
def project(new_project):
    return new_project()


def run_by(project, runner) -> None:
    with contextlib.chdir(project.folder):
        bootstrap_project(project.folder)
        with KedroSession.create(project.folder, env="test", runtime_params=ONE_COHORT) as session:
            session.run(pipeline_names=["ingest"], runner=runner)


def test_threads_log_both_roles_of_one_cohort_in_one_run(project):
    run_by(project, ThreadRunner())
    assert runs_of(project) == ["FINISHED"]
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    assert run.data.tags["source_fingerprint"] == run.data.tags["target_fingerprint"]
    assert run.data.params["source.cohort"] == run.data.params["target.cohort"] == "demo_clinic"


def test_processes_are_refused_before_anything_runs(project):
    before = runs_of(project) if (project.folder / "mlflow.db").exists() else []
    with pytest.raises(ValueError, match=r"ParallelRunner isn't for this project: .* --runner=ThreadRunner"):
        run_by(project, ParallelRunner())
    assert runs_of(project) == before
