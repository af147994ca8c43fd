"""What MLflow isn't told."""

import json
import os

import pytest
from mlflow.tracking.context.registry import resolve_tags

from slimp_pipeline.tracking.anonymous import anonymous, without_places
from slimp_pipeline.tracking.run import told_of_run


@pytest.fixture(autouse=True)
def user(monkeypatch):
    monkeypatch.setenv("LOGNAME", "anna")
    monkeypatch.setattr("sys.argv", ["/home/anna/.venv/bin/kedro"])


def test_neither_account_nor_program_is_noted(monkeypatch):
    monkeypatch.delenv("MLFLOW_RUN_CONTEXT", raising=False)
    assert "anna" in str(resolve_tags())
    with anonymous(process="7"):
        tags = resolve_tags()
    assert tags["process"] == "7" and "anna" not in str(tags)
    assert "MLFLOW_RUN_CONTEXT" not in os.environ


def test_who_wants_a_name_noted_has_it(monkeypatch):
    given = json.dumps({"mlflow.user": "Anna", "ward": "3"})
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", given)
    with anonymous():
        tags = resolve_tags()
    assert (tags["mlflow.user"], tags["ward"]) == ("Anna", "3")
    assert os.environ["MLFLOW_RUN_CONTEXT"] == given


@pytest.mark.parametrize(
    "place", ["/home/anna/x", "~/x", r"C:\Users\anna", "C:/x", r"\\server\share", "../x", "..", "file:///x", " /x"]
)
def test_places_on_a_machine_are_left_out_wherever_they_stand(place):
    assert without_places({"a": [place, 1], "b": {"c": place}}) == {"a": ["(a path)", 1], "b": {"c": "(a path)"}}


@pytest.mark.parametrize(
    "value", ["data/01_raw", "s3://bucket/a", "https://x.org", "a/b", "..a", "C:", "", None, 1.5, True]
)
def test_everything_else_stays(value):
    assert without_places({"a": value}) == {"a": value}


def test_of_a_run_neither_the_projects_place_nor_its_parameters_are_told():
    known = {
        "project_path": "/home/anna/project", "runtime_params": {"images": "/home/anna/x"}, "pipeline_names": ["embed"],
        "load_versions": {"encoders": "2026"}, "env": None,
    }  # fmt: skip
    told = told_of_run(known)
    assert "anna" not in str(told)
    assert (told["pipeline_names"], told["load_versions"]) == (["embed"], {"encoders": "2026"})
    assert set(told) == set(known)  # kedro-mlflow asks for each
