"""A cell of a study: a process of its own."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slimp_pipeline import cli
from slimp_pipeline.processes import pool


class Session:
    """A run that lets other processes work for it, as the probes of many rows do."""

    def __enter__(self):
        return self

    def __exit__(self, *_: object):
        return None

    def run(self, pipeline_names):
        pool.cpu_count = lambda: 2
        working = set(pool.in_processes(os.readlink, ["/proc/self"] * 40, fewest=10))
        Path("working").write_text(" ".join(working))
        if pipeline_names == ["fails"]:
            raise ValueError("as it does")


def run_cell(pipeline):
    cli.bootstrap_project = lambda project: None
    cli._session = lambda *_: Session()
    cli._run_cell(Path(), None, {}, [pipeline])


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize(("pipeline", "code"), [("works", 0), ("fails", 1)])
def test_a_cell_ends_with_its_run_and_so_do_the_processes_that_worked_for_it(tmp_path, pipeline, code):
    # One that has nothing to do would be waited for until it has had enough: five minutes.
    done = subprocess.run([sys.executable, __file__, pipeline], cwd=tmp_path, timeout=100)
    working = (tmp_path / "working").read_text().split()
    assert done.returncode == code and working
    assert not any(Path("/proc", number).exists() for number in working)


if __name__ == "__main__":
    cell = multiprocessing.get_context("spawn").Process(target=run_cell, args=sys.argv[1:])
    cell.start()
    cell.join()
    sys.exit(cell.exitcode)
