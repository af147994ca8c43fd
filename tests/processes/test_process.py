"""Which process something belongs to."""

import dataclasses
import subprocess
import sys

import pytest

from slimp_pipeline.processes.process import Process

PRINT_OWN = "from slimp_pipeline.processes.process import Process; print(Process.own().as_text())"


def test_a_process_that_runs_isnt_gone():
    assert not Process.own().is_gone()


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
def test_a_process_that_ended_is_gone():
    text = subprocess.run([sys.executable, "-c", PRINT_OWN], capture_output=True, text=True, check=True).stdout
    assert Process.from_text(text).is_gone()


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
@pytest.mark.parametrize(
    ("changes", "is_gone"),
    [
        ({"started": "1"}, True),  # its number is used again
        ({"boot": "another", "machine": "m"}, True),  # the machine was started anew
        ({"boot": "another", "machine": ""}, False),  # it may be another machine of that name
        ({"boot": "", "started": "1"}, False),
        ({"host": "another", "started": "1"}, False),
        ({"numbering": "pid:[1]", "started": "1"}, False),  # of another container, whose processes can't be seen
        ({"numbering": "", "started": "1"}, False),
    ],
)
def test_only_what_is_provably_gone_is_gone(monkeypatch, changes, is_gone):
    here = dataclasses.replace(Process.own(), machine="m")
    there = dataclasses.replace(here, **changes)
    monkeypatch.setattr(Process, "own", classmethod(lambda cls: here))
    assert there.is_gone() == is_gone


@pytest.mark.parametrize("changes", [{}, {"numbering": "", "started": ""}, {"machine": "", "boot": ""}])
def test_a_process_is_read_from_a_files_name_as_it_was_written(changes):
    process = dataclasses.replace(Process.own(), **changes)
    assert Process.from_name(process.as_name()) == process
    assert len(process.as_name()) < 100  # a file's name has room beside it
    for name in ("", "host-1", process.as_name() + "-1", "-" + process.as_name()):
        assert Process.from_name(name) is None


def test_a_process_is_read_as_it_was_written_and_other_text_is_none():
    assert Process.from_text(Process.own().as_text()) == Process.own()
    for text in ("", "null", "{}", '{"host": "a"}', "no JSON"):
        assert Process.from_text(text) is None
