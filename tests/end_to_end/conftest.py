"""A project folder of its own, and the real command line in it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from slimp_pipeline.cli import run_study

REPOSITORY = Path(__file__).parents[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one finished run in one process: it takes minutes."""
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("finished"))


@dataclass(frozen=True)
class Project:
    folder: Path

    def kedro(self, *arguments: str, under: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {k: v for k, v in os.environ.items() if not k.startswith("SLIMP_")} | environment
        command = [*under, sys.executable, "-m", "kedro", *arguments]
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=280)

    def run(self, pipeline: str = "__default__", env: str = "test", *, to_node: str = "", **parameters: Any) -> None:
        """What `kedro run --env --pipeline --to-nodes --params` does, in this process: to import torch takes long."""
        with contextlib.chdir(self.folder):
            bootstrap_project(self.folder)
            try:
                with KedroSession.create(self.folder, env=env, runtime_params=parameters) as session:
                    session.run(pipeline_names=[pipeline], to_nodes=[to_node] if to_node else None)
            finally:
                while mlflow.active_run():  # one process, several runs
                    mlflow.end_run()

    def study(self, env: str = "test", **parameters: Any) -> None:
        """What `kedro study --env --params` does, in this process."""
        with contextlib.chdir(self.folder):
            bootstrap_project(self.folder)
            run_study(self.folder, env, parameters)

    def latest(self, path: str) -> Path:
        """Newest version of an artifact under data/."""
        base = self.folder / "data" / path
        return sorted(base.glob(f"*/{base.name}"))[-1]

    def versions(self, path: str) -> int:
        base = self.folder / "data" / path
        return len(list(base.glob(f"*/{base.name}")))


def make_project(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(REPOSITORY / "conf", folder / "conf", dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / ".telemetry").write_text("consent: false\n")
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src/slimp_pipeline").symlink_to(REPOSITORY / "src/slimp_pipeline")
    return with_own_store(folder)


def with_own_store(folder: Path) -> Project:
    """MLflow caches its stores by address: in one process a relative one would lead to another project's."""
    settings = "{server: {mlflow_tracking_uri: 'sqlite:///%s/mlflow.db'}, tracking: {experiment: {name: slimp-test}}}"
    (folder / "conf/test/mlflow.yml").write_text(settings % folder)
    return Project(folder)


def noting_connections(file: Path) -> list[str]:
    """The program under which every connection that another asks for is noted; none where it can't be."""
    strace = ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect", "-o", str(file)]
    works = shutil.which("strace") and subprocess.run([*strace, "true"], capture_output=True).returncode == 0
    return strace if works else []


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """A project in which `kedro run --env=test` has run once; tests read it and leave it as it is."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    done = project.kedro("run", "--env=test", under=noting_connections(project.folder.parent / "connections"))
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Make a project for several tests."""
    return lambda: make_project(tmp_path_factory.mktemp("project") / "project")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def copy_of_finished(
    finished: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[[], Project]:
    def copy() -> Project:
        target = tmp_path / "copy"
        shutil.copytree(finished[0].folder, target, symlinks=True)
        return with_own_store(target)

    return copy
