"""A project folder of its own, and the real command line in it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from slimp_pipeline.cli import run_study
from slimp_pipeline.tracking.database import create_database

sys.path.insert(0, str(Path(__file__).parent))

from planted import plant, write_first_weights

REPOSITORY = Path(__file__).parents[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one finished run in one process: it takes minutes."""
    for item in items:
        for name in ("finished", "planted_run"):
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))


class CommandServer:
    """The other end of command_server.py; started when it is first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **order: Any) -> Any:
        if not self._process:
            server = [sys.executable, Path(__file__).parent / "command_server.py"]
            self._process = subprocess.Popen(
                server, cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


SERVER = CommandServer()


class Command:
    """`kedro ...` in a process of its own, in a session of its own."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._output = [Path(tempfile.mkstemp(suffix=name)[1]) for name in ("stdout", "stderr")]
        self.pid: int = SERVER.ask(
            folder=str(folder), arguments=arguments, environment=environment,
            stdout=str(self._output[0]), stderr=str(self._output[1]),
        )  # fmt: skip
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = SERVER.ask(ended=self.pid)
        return self.returncode

    def end(self, seconds: float = 280) -> tuple[str, str]:
        """Wait for its end, and return what it wrote to standard output and standard error."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        output, errors = (path.read_text(encoding="utf-8") for path in self._output)
        for path in self._output:
            path.unlink()
        return output, errors


@dataclass(frozen=True)
class Project:
    folder: Path

    def kedro(self, *arguments: str, under: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in a Python of its own."""
        command = [*under, sys.executable, "-m", "kedro", *arguments]
        variables = self._environment() | environment
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=280)

    def start(self, *arguments: str, **environment: str) -> Command:
        """Start a command, in a process that has imported what it needs."""
        return Command(self.folder, arguments, self._environment() | environment)

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in a process that has imported what it needs."""
        command = self.start(*arguments, **environment)
        output, errors = command.end()
        return subprocess.CompletedProcess(arguments, command.poll() or 0, output, errors)

    @staticmethod
    def _environment() -> dict[str, str]:
        """That of the tests without what they set for others."""
        return {k: v for k, v in os.environ.items() if not k.startswith(("SLIMP_", "MLFLOW_", "KEDRO_LOGGING_"))}

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

    def evaluate_little(self) -> "Project":
        """Let the environment `test` measure the least that it can: for tests of what surrounds an evaluation."""
        path = self.folder / "conf/test/parameters.yml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings["evaluation"] |= {"protocols": ["linear_probe"], "features": ["image"]}
        settings["evaluation"] |= {"importance": {"num_draws": 0}, "controls": {"num_draws": 0}}
        settings["evaluation"] |= {"saliency": {"num_pictures": 0}}
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return self

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
    """The program under which every address is noted that another connects or listens to; none where it can't be."""
    strace = ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect,bind", "-o", str(file)]
    works = shutil.which("strace") and subprocess.run([*strace, "true"], capture_output=True).returncode == 0
    return strace if works else []


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """A project in which `kedro run --env=test` has run once, pictures of figures and all; tests leave it as it is."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    settings = project.folder / "conf/test/parameters.yml"
    settings.write_text(settings.read_text().replace("picture_formats: []", "picture_formats: [svg, png]"))
    done = project.kedro("run", "--env=test", under=noting_connections(project.folder.parent / "connections"))
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done


@dataclass(frozen=True)
class PlantedRun:
    """A project in which all was run on files that bear marks, what it said, and who connected to whom."""

    project: Project
    home: Path
    said: str
    connections: list[Path]


@pytest.fixture(scope="session")
def planted_run(tmp_path_factory: pytest.TempPathFactory, fabricated: Path) -> PlantedRun:
    """From ingest to export, a search and Kedro-Viz's pages, as a user does it whose names and paths are marks."""
    folder = tmp_path_factory.mktemp("planted")
    project, home = make_project(folder / "zqproject/project"), folder / "zqhome"
    (project.folder / "conf/test/mlflow.yml").unlink()
    plant(fabricated / "test", project.folder, folder / "zqrawroot")
    written = project.folder / "conf/test/parameters.yml"
    settings = yaml.safe_load(written.read_text(encoding="utf-8"))
    settings["search"] |= {"space": {"training.learning_rate": {"choices": [0.001, 0.01]}}, "budget_hours": 1.0}
    written.write_text(yaml.safe_dump(settings), encoding="utf-8")
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = zquser\nemail = zqmail@example.org\n")
    write_first_weights(home / "first.safetensors")
    environment = dict.fromkeys(("USER", "LOGNAME", "GIT_AUTHOR_NAME"), "zquser")
    environment |= {"HOME": str(home), "SLIMP_RAW": str(folder / "zqrawroot"), "KEDRO_ENV": "test"}
    parameters = f"running_root={home}/running,model.image_encoder.weights={home}/first.safetensors"
    parameters += f",images={folder}/zqrawroot/clinic/images,embedding.max_refused_share=0.5"
    commands = {
        "run": ("run", "--env=test", "--pipelines=__default__,search,inspect,export,embed", f"--params={parameters}"),
        "viz": ("viz", "build", "--include-hooks", "--include-previews"),
    }
    said = ""
    for name, command in commands.items():
        done = project.kedro(*command, under=noting_connections(folder / f"connections_{name}"), **environment)
        said += done.stdout + done.stderr
        assert done.returncode == 0, said
    return PlantedRun(project, home, said, [folder / f"connections_{name}" for name in commands])


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database before any run; MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    create_database(path, path.parent / "mlruns")
    return path


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Callable[[], Project]:
    """Make a project for several tests."""

    def make() -> Project:
        project = make_project(tmp_path_factory.mktemp("project") / "project")
        shutil.copy(empty_database, project.folder)
        return project

    return make


@pytest.fixture
def untouched(tmp_path: Path) -> Project:
    """A project in which nothing has run."""
    return make_project(tmp_path / "project")


@pytest.fixture
def fresh(untouched: Project, empty_database: Path) -> Project:
    """The same, but for MLflow's database."""
    shutil.copy(empty_database, untouched.folder)
    return untouched


@pytest.fixture(scope="session")
def fabricated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw files of the environment `test`."""
    project = make_project(tmp_path_factory.mktemp("fabricated") / "project")
    project.run("fabricate")
    return project.folder / "data/01_raw"


@pytest.fixture
def with_raw_files(fresh: Project, fabricated: Path) -> Project:
    """A project that has raw files, and nothing else yet: to make them takes longer than to copy them."""
    shutil.copytree(fabricated, fresh.folder / "data/01_raw")
    return fresh


def copy_of(project: Project, target: Path) -> Project:
    shutil.copytree(project.folder, target, symlinks=True)
    return with_own_store(target)


@pytest.fixture
def copy_of_finished(
    finished: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[[], Project]:
    return lambda: copy_of(finished[0], tmp_path / "copy")


@pytest.fixture(scope="session")
def exported(
    finished: tuple[Project, subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The finished project after an export; tests leave it as it is."""
    project = copy_of(finished[0], tmp_path_factory.mktemp("exported") / "project")
    project.run("export", export={"onnx": False})
    return project


@pytest.fixture
def copy_of_exported(exported: Project, tmp_path: Path) -> Project:
    return copy_of(exported, tmp_path / "copy")
