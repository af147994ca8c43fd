"""Where artifacts are, by MLflow's database."""

import shutil
import sqlite3
from contextlib import closing

import mlflow
import pytest

from slimp_pipeline.tracking.places import bring_home


def logged(path):
    """A run with an artifact, beside its database."""
    client = mlflow.MlflowClient(f"sqlite:///{path}")
    experiment = client.create_experiment("mine", (path.parent / "mlruns/mine").as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "hello", "note.txt")
    return run


def moved(path, target):
    shutil.copytree(path.parent, target)
    return target / path.name


@pytest.mark.parametrize("is_there_still", [True, False])
def test_a_copy_keeps_its_artifacts_in_itself(database, tmp_path, is_there_still):
    path = database()
    run = logged(path)
    copy = moved(path, tmp_path / "my copy (100%) of ü")
    if not is_there_still:
        shutil.rmtree(path.parent)
    bring_home(copy, copy.parent / "mlruns")
    with closing(sqlite3.connect(copy)) as connection:
        experiments = connection.execute("SELECT artifact_location FROM experiments").fetchall()
        runs = connection.execute("SELECT artifact_uri FROM runs").fetchall()
    home = (copy.parent / "mlruns").as_uri()
    assert all(location.startswith(f"{home}/") for (location,) in experiments + runs)
    assert mlflow.artifacts.load_text(f"{runs[0][0]}/note.txt") == "hello"
    assert runs[0][0].endswith(f"/mine/{run}/artifacts")


def test_paths_as_earlier_versions_kept_them_are_brought_home_too(database, tmp_path):
    path = database()
    logged(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, 'file://', '')")
    copy = moved(path, tmp_path / "copy")
    bring_home(copy, copy.parent / "mlruns")
    with closing(sqlite3.connect(copy)) as connection:
        (uri,) = connection.execute("SELECT artifact_uri FROM runs").fetchone()
    assert uri.startswith((copy.parent / "mlruns").as_uri())
    assert mlflow.artifacts.load_text(f"{uri}/note.txt") == "hello"


def test_what_is_at_home_or_on_a_server_or_only_at_the_old_place_stays(database, tmp_path):
    path = database()
    logged(path)
    client = mlflow.MlflowClient(f"sqlite:///{path}")
    client.create_experiment("bucket", "s3://bucket/mlruns/7")
    client.create_experiment("disk", "/mnt/disk/artifacts")
    bring_home(path, path.parent / "mlruns")
    before = path.read_bytes()
    bring_home(path, path.parent / "mlruns")
    assert path.read_bytes() == before
    copy = moved(path, tmp_path / "copy")
    shutil.rmtree(copy.parent / "mlruns")  # the database alone was copied
    bring_home(copy, copy.parent / "mlruns")
    with closing(sqlite3.connect(copy)) as connection:
        locations = {row[0] for row in connection.execute("SELECT artifact_location FROM experiments")}
        (uri,) = connection.execute("SELECT artifact_uri FROM runs").fetchone()
    assert {"s3://bucket/mlruns/7", "/mnt/disk/artifacts", (copy.parent / "mlruns/mine").as_uri()} < locations
    assert mlflow.artifacts.load_text(f"{uri}/note.txt") == "hello"
