"""Setting MLflow up for a project."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from kedro.config import OmegaConfigLoader
from mlflow.exceptions import MlflowException
from omegaconf.resolvers import oc

from slimp_pipeline.tracking.set_up import set_up


@pytest.fixture
def project(database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return database().parent


def loader_of(project, settings: str | None):
    (project / "conf/base").mkdir(parents=True)
    (project / "conf/base/parameters.yml").write_text("{}", encoding="utf-8")
    if settings is not None:
        (project / "conf/base/mlflow.yml").write_text(settings, encoding="utf-8")
    return OmegaConfigLoader(
        str(project / "conf"), base_env="base", default_run_env="base", custom_resolvers={"oc.env": oc.env}
    )


@pytest.mark.parametrize(
    "settings", [None, "", "{server: null}", "{server: {mlflow_tracking_uri: 'sqlite:///mlflow.db'}}"]
)
def test_a_projects_own_store_is_the_default_and_its_artifacts_are_beside_it(project, settings):
    loader = loader_of(project, settings)
    with set_up(loader, project, "slimp"):
        pass
    assert loader["mlflow"]["server"]["mlflow_tracking_uri"] == f"sqlite:///{project}/mlflow.db"
    created = loader["mlflow"]["tracking"]["experiment"]["create_experiment_kwargs"]
    assert created == {"artifact_location": (project / "mlruns/slimp").as_uri()}


def test_what_the_settings_say_of_the_experiment_is_kept(project):
    settings = "{tracking: {experiment: {name: a/b, create_experiment_kwargs: {artifact_location: 's3://mine'}}}}"
    loader = loader_of(project, settings)
    with set_up(loader, project, "slimp"):
        pass
    assert loader["mlflow"]["tracking"]["experiment"]["create_experiment_kwargs"] == {"artifact_location": "s3://mine"}


@pytest.mark.parametrize("settings", [None, "{server: {mlflow_tracking_uri: '${oc.env:MLFLOW_TRACKING_URI,x}'}}"])
def test_the_address_of_the_environment_is_obeyed_and_left_as_it_is(project, monkeypatch, settings):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    loader = loader_of(project, settings)
    with set_up(loader, project, "slimp"):
        os.environ["MLFLOW_TRACKING_URI"] = "what MLflow sets"
    assert loader["mlflow"]["server"]["mlflow_tracking_uri"] == f"sqlite:///{project}/mlflow.db"
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///mlflow.db"


def test_a_server_that_is_away_ends_the_start(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    away = pytest.raises(ConnectionError, match=r"MLflow server http://127.0.0.1:9 isn't there")
    with away, set_up(loader_of(project, None), project, "slimp"):
        pytest.fail("MLflow was asked")


def test_a_run_goes_on_without_its_server_where_the_settings_say_so(project, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    loader = loader_of(project, "{server: {if_away: go_on}}")
    with set_up(loader, project, "slimp"):
        pass
    assert loader["mlflow"]["server"] == {"mlflow_tracking_uri": f"sqlite:///{project}/mlflow.db"}
    assert "isn't there (Connection refused): runs are noted in the project instead" in caplog.text
    assert "secret" not in caplog.text


def test_what_is_done_without_a_server_is_one_of_two_things(project):
    neither = pytest.raises(ValueError, match=r"server\.if_away .* is 'maybe': it is either stop or go_on")
    with neither, set_up(loader_of(project, "{server: {if_away: maybe}}"), project, "slimp"):
        pytest.fail("it went on")


def test_what_mlflow_refuses_is_said_with_its_store(project):
    refused = pytest.raises(ValueError, match=r"MLflow can't use its store .*/mlflow.db: no experiment")
    with refused, set_up(loader_of(project, None), project, "slimp"):
        raise MlflowException("no experiment")


SET_UP = """
import sys, time
from pathlib import Path
from kedro.config import OmegaConfigLoader
from mlflow import MlflowClient
from slimp_pipeline.tracking.set_up import set_up

project = Path.cwd()
(project / f"ready_{sys.argv[1]}").touch()
while len(list(project.glob("ready_*"))) < 2:
    time.sleep(0.01)
loader = OmegaConfigLoader("conf", base_env="base", default_run_env="base")
with set_up(loader, project, "slimp"):
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    if client.get_experiment_by_name("slimp") is None:  # as kedro-mlflow does
        time.sleep(0.2)
        client.create_experiment("slimp")
"""


def test_two_first_runs_in_the_same_second_both_find_mlflow_set_up(tmp_path):
    (tmp_path / "conf/base").mkdir(parents=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-c", SET_UP]
    both = [
        subprocess.Popen([*command, name], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    complaints = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], complaints
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        names = sorted(row[0] for row in connection.execute("SELECT name FROM experiments"))
    assert names == ["Default", "slimp"]
