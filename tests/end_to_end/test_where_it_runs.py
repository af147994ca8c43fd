"""Where a run works: in its project, wherever it is called, whatever the folder's name, also after a move."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from safetensors.torch import save_file

import slimp_pipeline

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_address_of_other_tests(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def with_default_store(folder: Path) -> Path:
    settings = "{tracking: {experiment: {name: slimp-test}}}"
    (folder / "conf/test/mlflow.yml").write_text(settings, encoding="utf-8")
    return folder


def run(folder: Path, pipeline: str, *, only: str | None = None, **parameters) -> None:
    """What a program does that isn't in the project's folder."""
    bootstrap_project(folder)
    with KedroSession.create(folder, env="test", runtime_params=parameters) as session:
        session.run(pipeline_names=[pipeline], namespaces=[only] if only else None)


def locations(folder: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        columns = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}
        return {
            table: [row[0] for row in connection.execute(f"SELECT {column} FROM {table}")]
            for table, column in columns.items()
        }


def test_relative_paths_of_settings_are_relative_to_the_project_from_anywhere(copy_of_finished, tmp_path, monkeypatch):
    project = copy_of_finished()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project.folder / "data/01_raw/test").rename(project.folder / "mine")
    shutil.copy(project.latest("05_model_input/demo_clinic/splits.csv"), project.folder / "official.csv")
    weights = slimp_pipeline.image_weights(project.latest("06_models/demo_tbp/encoders") / "all")
    save_file(weights, project.folder / "first.safetensors")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("SLIMP_RAW", "mine")
    not_made = {"cohort": {"fabricated": None}}
    weights_used = {"image_encoder": {"weights": "first.safetensors"}}
    run(project.folder, "pretrain", source=not_made, running_root="checkpoints", model=weights_used)
    run(project.folder, "features", only="target", target=not_made, features={"split_file": "official.csv"})
    assert Path.cwd() == elsewhere and not list(elsewhere.iterdir())
    splits = [
        pd.read_csv(path)
        for path in (project.folder / "official.csv", project.latest("05_model_input/demo_clinic/splits.csv"))
    ]
    pd.testing.assert_frame_equal(*splits)
    assert (project.folder / "checkpoints").is_dir()


def test_a_moved_project_keeps_its_artifacts_in_itself_whatever_its_name(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "first", tmp_path / "100% (zweite) Häute #1?"
    shutil.copytree(finished[0].folder, first, symlinks=True)
    run(with_default_store(first), "ingest")
    first.rename(second)
    run(second, "ingest")
    home = (second / "mlruns").as_uri()
    found = locations(second)
    assert {table: len(places) for table, places in found.items()} == {"experiments": 2, "runs": 3, "logged_models": 1}
    assert all(place.startswith(f"{home}/") for places in found.values() for place in places)
    assert "method" in mlflow.artifacts.load_text(f"{found['runs'][0]}/results.csv")
    assert mlflow.artifacts.list_artifacts(found["logged_models"][0])
    assert [path.name for path in tmp_path.iterdir()] == [second.name]
    assert not (second / "mlruns" / "mlruns").exists()


def python(where: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("SLIMP_", "MLFLOW_"))} | environment
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=where, env=variables, capture_output=True, text=True, encoding="utf-8", timeout=280,
    )  # fmt: skip


def test_a_command_in_a_folder_below_works_plainly_and_in_a_language_without_umlauts(copy_of_finished):
    folder = with_default_store(copy_of_finished().folder)
    below = folder / "notes/deep"
    below.mkdir(parents=True)
    before = set(folder.iterdir())
    done = python(below, "-m", "kedro", "run", "--env=test", "--pipeline=report", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    pages = sorted((folder / "data/08_reporting/demo_clinic/report.html").glob("*/report.html"))
    assert not pages[-1].read_text(encoding="utf-8").isascii() and len(pages) == 2
    lines = done.stdout.splitlines()
    assert any(line.startswith("report.render_report ") for line in lines) and "Running node" not in done.stdout
    assert f"Report:   {pages[-1]}" in lines
    assert f"Runs:     mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db" in lines
    assert not list(below.iterdir()) and set(folder.iterdir()) == before


NOTEBOOK = """
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "kedro.ipython")
print("loaded in", Path.cwd())
shell.run_cell("done = session.run(pipeline_names=['fabricate'])").raise_error()
shell.run_cell("tables = {name: len(data.load()) for name, data in done.items()}").raise_error()
print("ran in", Path.cwd(), shell.user_ns["tables"])
"""


def test_a_notebook_in_a_folder_below_runs_and_is_where_it_was(with_raw_files):
    folder = with_default_store(with_raw_files.folder)
    below = folder / "notebooks"
    below.mkdir()
    done = python(below, "-c", NOTEBOOK, KEDRO_ENV="test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"loaded in {below}" in done.stdout and f"ran in {below}" in done.stdout
    assert not list(below.iterdir()) and (folder / "data/01_raw/test/demo_tbp").is_dir()
    assert locations(folder)["runs"][0].startswith((folder / "mlruns").as_uri())


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel, installed into a folder of its own."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-index")
    built = python(work, *pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", "dist", "./source")
    assert built.returncode == 0, built.stderr
    (wheel,) = (work / "dist").glob("*.whl")
    put = python(work, *pip, "install", *offline, "--target", "site", str(wheel))
    assert put.returncode == 0, put.stderr
    return work / "site"


def test_the_installed_package_runs_with_settings_beside_it_and_no_project(installed, tmp_path):
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    command = ("-m", "slimp_pipeline", "--env=test", "--conf-source=conf")
    few = "source.cohort.fabricated.num_patients=2,target.cohort.fabricated.num_patients=4"
    done = python(tmp_path, *command, "--pipeline=fabricate", f"--params={few}", PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data/01_raw/test/demo_clinic/metadata.csv").is_file() and (tmp_path / "mlflow.db").is_file()
    assert not list(tmp_path.glob("src"))
    wrong = python(tmp_path, *command, "--pipeline=fabricate", "--params=trainig.seed=1", PYTHONPATH=str(installed))
    assert wrong.returncode == 1 and "no parameter 'trainig'" in wrong.stderr and "Traceback" not in wrong.stderr


def test_a_server_that_is_away_or_a_damaged_database_ends_the_start_in_one_sentence(new_project, monkeypatch):
    folder = with_default_store(new_project().folder)
    (folder / "mlflow.db").write_text("no database " * 100, encoding="utf-8")
    with pytest.raises(ValueError, match=r"mlflow\.db, in which MLflow notes every run, is damaged"):
        run(folder, "fabricate")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"MLflow server http://127\.0\.0\.1:9 isn't there"):
        run(folder, "fabricate")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/runs.db")
    run(folder, "fabricate")
    assert (folder / "other/runs.db").is_file() and mlflow.get_tracking_uri() == f"sqlite:///{folder}/other/runs.db"
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///other/runs.db"
