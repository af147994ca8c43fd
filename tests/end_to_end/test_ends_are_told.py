"""However a run ends, MLflow and the console say so, and nothing of it goes on."""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

LONG = "training.num_epochs=100000"
GOES_ON = "stopped: the same command goes on"
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
    pytest.mark.xdist_group("ends_are_told"),
]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def wait_for_training(folder: Path, process) -> None:
    """Until a checkpoint is written that wasn't there."""

    def checkpoints() -> set[Path]:
        return set((folder / "data/06_models/running").glob("*/step_*"))

    before = checkpoints()
    assert wait_for(lambda: bool(checkpoints() - before) or process.poll() is not None)
    assert process.poll() is None, process.end()


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task").glob("*/children")
    own = [int(number) for path in listed for number in path.read_text(encoding="utf-8").split()]
    return own + [grandchild for child in own for grandchild in children(child)]


def runs(processes: list[int]) -> list[int]:
    """Those that run still; one whose parent hasn't asked how it ended runs no more."""
    states = {}
    for number in processes:
        stat = Path(f"/proc/{number}/stat")
        states[number] = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] if stat.exists() else "Z"
    return [number for number, state in states.items() if state not in "ZX"]


def statuses(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=30)) as connection:
        return [row[0] for row in connection.execute("SELECT status FROM runs ORDER BY start_time")]


@pytest.fixture(scope="module")
def project(new_project):
    return new_project()


def test_a_run_that_is_killed_or_stopped_or_interrupted_is_said_to_be(project):
    folder = project.folder
    command = ("run", "--env=test", "--pipeline=pretrain", f"--params={LONG},training.num_workers=1")

    process = project.start(*command)
    wait_for_training(folder, process)
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.end()
    assert workers and wait_for(lambda: not runs(workers), 20)
    assert statuses(folder) == ["RUNNING"]  # nobody could say otherwise

    process = project.start(*command)
    wait_for_training(folder, process)
    assert statuses(folder) == ["KILLED", "RUNNING"]
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGTERM)  # as a cluster's scheduler does, to all of its processes
    said, complaints = process.end(60)
    assert "(pretrain: demo_tbp → demo_clinic) was killed: noted as such" in said and "Going on from step" in said
    assert process.returncode == 143 and complaints.count(GOES_ON) == 1 and "Traceback" not in complaints
    assert "Stopped after step" in said
    assert workers and wait_for(lambda: not runs(workers), 20)

    process = project.start(*command)
    wait_for_training(folder, process)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
    _, complaints = process.end(60)
    assert process.returncode == 130 and complaints.count(GOES_ON) == 1 and "Traceback" not in complaints
    assert workers and wait_for(lambda: not runs(workers), 20)
    assert statuses(folder) == ["KILLED", "KILLED", "KILLED"]


def test_a_study_that_is_stopped_ends_its_cell(project):
    folder = project.folder
    earlier = len(statuses(folder)) if (folder / "mlflow.db").exists() else 0
    process = project.start("study", "--env=test", f"--params={LONG}")
    wait_for_training(folder, process)
    cells = children(process.pid)
    os.kill(process.pid, signal.SIGTERM)
    _, complaints = process.end(60)
    assert process.returncode == 143 and complaints.count(GOES_ON) == 1 and "Traceback" not in complaints
    assert cells and wait_for(lambda: not runs(cells), 20)
    assert statuses(folder)[earlier:] == ["FINISHED", "KILLED"]  # ingest, and the cell


def test_a_failure_stands_as_one_also_after_the_last_node(project, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("slimp_pipeline.tracking.run.log_artifacts", full)
    with pytest.raises(OSError, match="no space left"):
        project.run("fabricate")
    assert statuses(project.folder)[-1] == "FAILED"
