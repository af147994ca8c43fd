"""Runs a pipeline again and again in one project, and tells what grows: time, memory, files, MLflow's database.

make soak                                         200 runs: every twentieth in a process of its own, the others in one
python tests/soak/run.py --runs 30 --pipeline evaluate

Time is the processor's: a machine that is busy otherwise changes it little. A slope is Theil and Sen's, the median of
the slopes of all pairs of runs, with its interval.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mlflow
import numpy as np
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from scipy.stats import theilslopes

_REPOSITORY = Path(__file__).parents[2]
_FRESH_EVERY = 20
_ENDS = 20  # runs that are compared, at the beginning and at the end
_WARM_UP = 5  # of the one process: what is imported and made once


@dataclass(frozen=True)
class Measured:
    """One run, and what is there after it."""

    number: int
    fresh: bool
    cpu_s: float
    wall_s: float
    memory_mb: float
    open_files: int
    threads: int
    database_mb: float
    tracking_files: int
    data_mb: float
    data_files: int


def make_project(folder: Path) -> Path:
    """A project of its own, with this repository's code and settings."""
    folder.mkdir()
    shutil.copytree(_REPOSITORY / "conf", folder / "conf")
    shutil.copy(_REPOSITORY / "pyproject.toml", folder)
    (folder / ".telemetry").write_text("consent: false\n")
    (folder / "src").mkdir()
    (folder / "src/slimp_pipeline").symlink_to(_REPOSITORY / "src/slimp_pipeline")
    return folder


def run_here(project: Path, pipeline: str) -> tuple[float, float]:
    """In this process: its processor time, and the memory that it holds afterwards."""
    before = time.process_time() + _of_children()
    with KedroSession.create(project, env="test") as session:
        session.run(pipeline_names=[pipeline])
    while mlflow.active_run():
        mlflow.end_run()
    gc.collect()
    return time.process_time() + _of_children() - before, _resident_mb()


def run_fresh(project: Path, pipeline: str) -> tuple[float, float]:
    """In a process of its own: its processor time, and the most memory that it held."""
    command = [sys.executable, "-m", "kedro", "run", "--env=test", f"--pipeline={pipeline}"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    output = project.parent / "output"
    with output.open("wb") as file:
        child = subprocess.Popen(command, cwd=project, stdout=file, stderr=file, env=variables)
        _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed in {project}:\n{output.read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def soak(project: Path, pipeline: str, runs: int, lines: Path) -> list[Measured]:
    """Run so often, and write a line of JSON for each."""
    measured, started = [], time.monotonic()
    for number in range(runs):
        fresh, before = number % _FRESH_EVERY == _FRESH_EVERY - 1, time.monotonic()
        cpu_s, memory_mb = (run_fresh if fresh else run_here)(project, pipeline)
        took = time.monotonic() - before
        measured.append(Measured(number, fresh, cpu_s, took, memory_mb, *_state(project)))
        with lines.open("a") as file:
            file.write(json.dumps(asdict(measured[-1])) + "\n")
        left = (time.monotonic() - started) / (number + 1) * (runs - number - 1)
        if number % _FRESH_EVERY == 0:
            print(
                f"run {number + 1} of {runs}: {cpu_s:.1f} s, {memory_mb:.0f} MB; {left / 60:.0f} min left", flush=True
            )
    return measured


def _state(project: Path) -> tuple[int, int, float, int, float, int]:
    size_mb, files = _size(project / "data")
    database = (project / "mlflow.db").stat().st_size / 1e6
    tracked = _size(project / "mlruns")[1]
    return len(os.listdir("/proc/self/fd")), threading.active_count(), database, tracked, size_mb, files


def _size(folder: Path) -> tuple[float, int]:
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes) / 1e6, len(sizes)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_table(measured: list[Measured]) -> None:
    """Of each measure the first and the last runs, and the slope, in Markdown."""
    print("\n| measure | first runs | last runs | a run, Theil-Sen [95 %] |\n| --- | ---: | ---: | ---: |")
    here = [one for one in measured if not one.fresh][_WARM_UP:]
    fresh = [one for one in measured if one.fresh]
    for name in (
        "cpu_s",
        "memory_mb",
        "open_files",
        "threads",
        "database_mb",
        "tracking_files",
        "data_mb",
        "data_files",
    ):
        _print_row(f"{name}, one process", here, name)
    for name in ("cpu_s", "memory_mb"):
        _print_row(f"{name}, fresh processes", fresh, name)


def _print_row(title: str, measured: list[Measured], name: str) -> None:
    numbers = np.array([one.number for one in measured])
    values = np.array([getattr(one, name) for one in measured], dtype=float)
    ends = min(_ENDS, max(1, len(values) // 2))
    first, last = np.median(values[:ends]), np.median(values[-ends:])
    slope = theilslopes(values, numbers) if len(values) > 1 else (np.nan,) * 4
    print(f"| {title} | {first:,.2f} | {last:,.2f} | {slope[0]:+.4f} [{slope[2]:+.4f}, {slope[3]:+.4f}] |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--pipeline", default="features")
    parser.add_argument("--lines", type=Path, help="a line of JSON for each run; by default in the project's folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    project = make_project(folder / "project")
    bootstrap_project(project)
    os.chdir(project)
    print_table(soak(project, options.pipeline, options.runs, (options.lines or folder / "runs.jsonl").absolute()))


if __name__ == "__main__":
    main()
