"""A new user's terminal."""

import sys

import pytest

from new_user.documented import Step
from new_user.walk import User, bare_environment, with_versions


@pytest.fixture
def user(tmp_path):
    environment = bare_environment(tmp_path)
    return User(tmp_path, environment | {"PATH": f"{sys.prefix}/bin:{environment['PATH']}"})


def test_variables_stay_from_block_to_block_as_in_one_terminal(user):
    assert user.run(Step("page:1", "console", "export SLIMP_RAW=/data/skin\n")) == []
    step = Step("page:2", "console", "echo raw data in $SLIMP_RAW\n", said="raw data in /data/skin")
    assert user.run(step) == []


def test_an_error_ends_a_block_and_is_told(user):
    (told,) = user.run(Step("page:1", "console", "ls /no/such/folder\necho went on\n"))
    assert "No such file" in told and "went on" not in told


def test_other_output_than_the_page_has_is_told(user):
    (told,) = user.run(Step("page:1", "python", "print(6 * 7)", said="43"))
    assert "43" in told and "42" in told


def test_a_server_is_ended_once_it_has_answered(user):
    step = Step("page:1", "console", "python -m http.server 8767 --bind 127.0.0.1\n", url="http://127.0.0.1:8767")
    assert user.run(step) == []
    (told,) = user.run(Step("page:1", "console", "echo I serve nothing\n", url="http://127.0.0.1:8767"))
    assert "no answer" in told and "I serve nothing" in told


def test_nothing_of_whoever_starts_it_reaches_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMP_RAW", "/mine")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example")
    environment = bare_environment(tmp_path)
    assert "SLIMP_RAW" not in environment and environment["HOME"] == str(tmp_path)
    assert environment["PIP_INDEX_URL"] == "https://index.example"


def test_a_version_in_a_path_is_the_newest_one(tmp_path):
    for version in ("2026-01-01", "2026-02-01"):
        (tmp_path / "data/encoders" / version / "all").mkdir(parents=True)
    text = 'load("data/encoders/<version>/all")'
    assert with_versions(text, tmp_path) == 'load("data/encoders/2026-02-01/all")'
