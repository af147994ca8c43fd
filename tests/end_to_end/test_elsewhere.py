"""Artifacts in a bucket and runs on a tracking server: the whole demo, its fresh clone, and what may be away."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from slimp_pipeline.datasets.versioned import OwnVersionDataset

pytestmark = pytest.mark.xdist_group("elsewhere")


class Server:
    """MLflow's server."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.uri = f"http://127.0.0.1:{free.getsockname()[1]}"
        port, stores = self.uri.rpartition(":")[2], (f"sqlite:///{folder}/server.db", str(folder / "artifacts"))
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
        command += [f"--backend-store-uri={stores[0]}", f"--artifacts-destination={stores[1]}"]
        with (folder / "server.log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 100
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=5).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(frozen=True)
class Elsewhere:
    """A project that keeps nothing, its bucket and its tracking server."""

    project: object
    bucket: object
    server: Server
    raw: Path
    done: subprocess.CompletedProcess[str]

    @property
    def command(self) -> tuple[str, ...]:
        return ("run", "--env=test", f"--params=fabricated_root={self.raw}")

    @property
    def environment(self) -> dict[str, str]:
        return self.bucket.environment | {"MLFLOW_TRACKING_URI": self.server.uri}


def without_store(project):
    """As a clone has it: the tracking server is named by the environment."""
    (project.folder / "conf/test/mlflow.yml").write_text("{tracking: {experiment: {name: slimp-test}}}")
    (project.folder / "mlflow.db").unlink()
    return project.evaluate_little()


@pytest.fixture(scope="module")
def elsewhere(new_project, new_bucket, tmp_path_factory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    server, bucket = Server(folder), new_bucket(folder / "cache")
    project = without_store(new_project())
    one = Elsewhere(project, bucket, server, folder / "raw", None)
    done = project.call(*one.command, **one.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    yield Elsewhere(project, bucket, server, folder / "raw", done)
    server.kill()


def test_everything_is_in_the_bucket_and_nothing_in_the_project(elsewhere, tmp_path, monkeypatch):
    left = {path.name for path in elsewhere.project.folder.iterdir()}
    assert left <= {"conf", "src", "pyproject.toml", ".telemetry", ".viz", "data"}
    secret = {path.name for path in (elsewhere.project.folder / "data").iterdir()}  # of pseudonyms, which stays at home
    assert {name.strip(".").removesuffix(".holder").removesuffix(".lock") for name in secret} == {"pseudonym_salt"}
    for name, value in (elsewhere.environment | {"SLIMP_CACHE": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(elsewhere.project.folder)
    bootstrap_project(elsewhere.project.folder)
    with KedroSession.create(elsewhere.project.folder, env="test") as session:
        catalog = session.load_context().catalog
    names = {name for node in pipelines["__default__"].nodes for name in node.outputs}
    kept = {name: catalog[name] for name in names if isinstance(catalog[name], OwnVersionDataset)}
    versions = {name: dataset.list_versions(full_path=False) for name, dataset in kept.items()}
    assert len(kept) > 50 and len({tuple(found) for found in versions.values()}) == 1, versions
    assert set(catalog.load("results")["method"]) > {"slimp", "slimp_adapted"}  # read by the bucket alone
    assert set(catalog.load("encoders")) == {"all"} and len(catalog.load("target.image_store")) > 50
    listed = [key for key in elsewhere.bucket.sizes() if key.startswith("06_models/running/")]
    assert sum(key.endswith(".files.json") for key in listed) == 4  # a pre-training, three adaptations


def test_the_console_names_addresses_and_no_secret(elsewhere):
    report = next(line for line in elsewhere.done.stdout.splitlines() if line.startswith("Report:"))
    key = report.split()[-1].removeprefix(f"{elsewhere.bucket.url}/")
    assert key in elsewhere.bucket.sizes()
    assert f"Runs:     {elsewhere.server.uri}" in elsewhere.done.stdout
    secret = elsewhere.bucket.environment["AWS_SECRET_ACCESS_KEY"]
    assert secret not in elsewhere.done.stdout + elsewhere.done.stderr


def test_the_tracking_server_has_curves_results_artifacts_and_the_model(elsewhere):
    client = mlflow.MlflowClient(elsewhere.server.uri)
    experiment = client.get_experiment_by_name("slimp-test").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED" and run.data.params["target.cohort"] == "demo_clinic"
    assert len(client.get_metric_history(run.info.run_id, "pretrain/all/validation_loss")) == 2
    assert "slimp/image/linear_probe/balanced_accuracy" in run.data.metrics
    assert {"report.html", "results.csv", "figures"} <= {item.path for item in client.list_artifacts(run.info.run_id)}
    (model,) = client.search_logged_models([experiment])
    files = client.list_logged_model_artifacts(model.model_id, "artifacts/all")
    assert "artifacts/all/model.safetensors" in {file.path for file in files}


def test_a_fresh_clone_computes_nothing_anew_and_outlives_its_tracking_server(elsewhere, new_project, tmp_path):
    clone = without_store(new_project())
    before = elsewhere.bucket.sizes()
    run = clone.start(*elsewhere.command, **elsewhere.environment | {"SLIMP_CACHE": str(tmp_path)})
    client = mlflow.MlflowClient(elsewhere.server.uri)
    experiment = client.get_experiment_by_name("slimp-test").experiment_id
    while sum(bool(one.data.params) for one in client.search_runs([experiment])) < 2 and run.poll() is None:
        time.sleep(0.05)  # until its first node has begun
    elsewhere.server.kill()
    said, complaints = run.end()
    assert run.returncode == 0, said + complaints
    assert said.count("has ended, at step") == 4 and "evaluate.embed: nothing that goes into it has changed" in said
    assert f"{elsewhere.server.uri} has gone (Connection refused). The run goes on" in said + complaints
    assert "is away still: it lacks the end of this run" in said + complaints and "Traceback" not in complaints
    new = elsewhere.bucket.sizes().keys() - before.keys()
    assert not [key for key in new if key.endswith(".arrow") or "/running/" in key]
    results = [key for key in elsewhere.bucket.sizes() if key.endswith("/results.csv")]
    contents = {elsewhere.bucket.files().cat_file(f"{elsewhere.bucket.url}/{key}") for key in results}
    assert len(results) == 2 and len(contents) == 1


def test_a_run_goes_on_without_a_server_where_the_settings_say_so(elsewhere, fresh, monkeypatch, caplog):
    settings = "{server: {if_away: go_on}, tracking: {experiment: {name: slimp-test}}}"
    (fresh.folder / "conf/test/mlflow.yml").write_text(settings)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    fresh.run("fabricate", fabricated_root=str(elsewhere.raw))
    assert "isn't there (Connection refused): runs are noted in the project instead" in caplog.text
    client = mlflow.MlflowClient(f"sqlite:///{fresh.folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("slimp-test").experiment_id])
    assert run.info.status == "FINISHED"


def test_a_bucket_that_cant_be_used_ends_the_start_in_one_sentence(fresh, s3):
    for address, refuse, words in (
        ("gs://bucket/data", False, r"'gs://bucket/data' is no place for artifacts: "),
        ("s3://nowhere-at-all/data", False, r"there is no bucket nowhere-at-all on http://127\."),
        (s3.url, True, r"http://127\S* denies access to s3://bucket-"),
    ):
        s3.refuse_keys(refuse=refuse)
        environment = s3.environment | {"SLIMP_DATA": address}
        done = fresh.call("run", "--env=test", "--pipeline=ingest", **environment)
        assert done.returncode == 1 and not done.stdout.strip(), done.stdout
        assert re.match(f"error: {words}", done.stderr.strip()) and "Traceback" not in done.stderr, done.stderr
        assert not (fresh.folder / "data").exists() and s3.environment["AWS_SECRET_ACCESS_KEY"] not in done.stderr
