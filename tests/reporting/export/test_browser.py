"""The browser that draws pictures."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from slimp_pipeline.processes.process import Process
from slimp_pipeline.reporting.export import browser, no_network
from slimp_pipeline.reporting.export.browser import profile, remove_left_profiles

REACH_OUT = """
import socket, sys
for kind in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
    try:
        socket.socket(kind).close()
        print(kind.name)
    except OSError:
        pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a program from the network so")
def test_what_runs_without_network_can_make_no_internet_socket():
    command = [sys.executable, "-I", no_network.__file__, sys.executable, "-c", REACH_OUT]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["AF_UNIX"]
    without = subprocess.run(command[3:], capture_output=True, text=True, check=True).stdout.split()
    assert {"AF_INET", "AF_UNIX"} <= set(without)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(browser.Chromium, "find_browser", lambda **_: "/usr/bin/chromium")
    return tmp_path


def test_a_profile_is_removed_once_the_pictures_are_drawn_also_after_a_failure(temporary):
    with pytest.raises(ValueError, match="no"), profile() as folder:
        (Path(folder) / "Default").mkdir()
        raise ValueError("no")
    assert not list(temporary.iterdir())


def test_profiles_of_killed_processes_are_removed_and_no_others(temporary):
    own = Process.own()
    owners = {
        "slimp-browser-killed": dataclasses.replace(own, started="1").as_text(),
        "slimp-browser-running": own.as_text(),
        "slimp-browser-elsewhere": dataclasses.replace(own, host="another", started="1").as_text(),
        "slimp-browser-unknown": "who knows",
        "another-program": dataclasses.replace(own, started="1").as_text(),
    }
    for name, owner in owners.items():
        (temporary / name / "Default").mkdir(parents=True)
        (temporary / name / "owner.json").write_text(owner, encoding="utf-8")
    remove_left_profiles()
    assert {folder.name for folder in temporary.iterdir()} == owners.keys() - {"slimp-browser-killed"}
