"""Runs that a model in use is of."""

import mlflow
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from slimp_pipeline.tracking.run import RUN_VERSION, registered_runs

VERSION = "2026-01-01T00.00.00.000Z"


@pytest.fixture
def registered(database, monkeypatch):
    """A model in use, and the MLflow run it is of."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "unset")  # what MLflow sets there is gone after the test
    before, address = mlflow.get_tracking_uri(), f"sqlite:///{database()}"
    mlflow.set_tracking_uri(address)
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment("slimp"), tags={RUN_VERSION: VERSION}).info
    client.create_registered_model("m")
    client.create_model_version("m", f"{run.artifact_uri}/model", run.run_id)
    client.set_registered_model_alias("m", "in_use", "1")
    yield client, run, address
    mlflow.set_tracking_uri(before)


def test_a_model_that_bears_an_alias_names_its_run(registered):
    assert registered_runs() == {VERSION: "models:/m@in_use is of it"}


def test_where_mlflow_has_that_run_no_more_it_is_said_what_to_do(registered):
    client, run, address = registered
    client.delete_run(run.run_id)
    SqlAlchemyStore(address, run.artifact_uri)._hard_delete_run(run.run_id)  # as `mlflow gc` does
    with pytest.raises(ValueError, match=rf"models:/m@in_use is of the MLflow run {run.run_id}, which is no more: .*"):
        registered_runs()
    client.delete_registered_model_alias("m", "in_use")
    assert registered_runs() == {}
