"""docs/results.md is what the tables of the runs say."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "generate_results.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("generate_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script):
    assert script.PAGE.read_text() == script.render(), "run `python docs/generate_results.py render`"


def test_no_image_or_patient_id_is_collected(script):
    for path in script.RUNS.glob("*/*.csv"):
        assert not {"image_id", "patient_id", "lesion_id"} & set(pd.read_csv(path, nrows=0))


def test_a_run_is_collected_without_single_folds_and_rendered(script, results, tmp_path, monkeypatch):
    folder = tmp_path / "08_reporting" / "clinic" / "results.csv" / "v1"
    folder.mkdir(parents=True)
    results.to_csv(folder / "results.csv", index=False)
    monkeypatch.setattr(script, "RUNS", tmp_path / "runs")
    arguments = {"name": "one", "cohort": "clinic", "title": "One run", "command": "kedro run", "note": ""}
    script.collect(SimpleNamespace(**arguments, data=tmp_path, sections=""))
    kept = pd.read_csv(tmp_path / "runs" / "one" / "results.csv")
    assert set(kept["draw"].astype(str)) <= {"all", "holdout"}
    assert "results" in json.loads((tmp_path / "runs" / "one" / "run.json").read_text())["sections"]
    page = script.render()
    assert "## One run" in page and "```console\nkedro run\n```" in page
    probe = results[(results["protocol"] == "linear_probe") & (results["metric"] == "balanced_accuracy")]
    for value in probe.loc[probe["draw"] == "all", "value"]:
        assert f"{value:.3f}" in page
