"""Where a run works."""

from pathlib import Path

import pytest

from slimp_pipeline.processes.home import at_home, shown


def test_a_run_works_in_its_project_and_comes_back_also_from_a_failure(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with at_home(tmp_path / "project"):
        assert Path.cwd() == tmp_path / "project"
    with pytest.raises(ValueError, match="no"), at_home(tmp_path / "project"):
        raise ValueError("no")
    assert Path.cwd() == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("called_from", "expected"), [("project", "data/report.html"), ("", "project/data/report.html")]
)
def test_paths_are_shown_as_they_are_typed_where_the_run_was_called(tmp_path, monkeypatch, called_from, expected):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / called_from)
    with at_home(tmp_path / "project"):
        assert shown("data/report.html") == expected


def test_a_path_that_isnt_below_is_shown_whole(tmp_path, monkeypatch):
    (tmp_path / "project/notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project/notebooks")
    with at_home(tmp_path / "project"):
        assert shown("data/report.html") == str(tmp_path / "project/data/report.html")
