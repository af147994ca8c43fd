"""docs/science/results.md is what the tables of the runs say."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "docs/science/generate_results.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("generate_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script):
    assert script.PAGE.read_text() == script.render(), "run `python docs/science/generate_results.py render`"


def test_no_image_or_patient_id_is_collected(script):
    for path in script.RUNS.glob("*/*.csv"):
        assert not {"image_id", "patient_id", "lesion_id"} & set(pd.read_csv(path, nrows=0))


def test_a_run_is_collected_without_single_folds_and_rendered(script, results, tmp_path, monkeypatch):
    folder = tmp_path / "08_reporting" / "clinic" / "results.csv" / "v1"
    folder.mkdir(parents=True)
    results.to_csv(folder / "results.csv", index=False)
    monkeypatch.setattr(script, "RUNS", tmp_path / "runs")
    arguments = {"name": "one", "cohort": "clinic", "title": "One run", "command": "kedro run", "note": ""}
    script.collect(SimpleNamespace(**arguments, data=tmp_path, sections="", beside=""))
    kept = pd.read_csv(tmp_path / "runs" / "one" / "results.csv")
    assert set(kept["draw"].astype(str)) <= {"all", "holdout"}
    assert "results" in json.loads((tmp_path / "runs" / "one" / "run.json").read_text())["sections"]
    page = script.render()
    assert "## One run" in page and "```console\nkedro run\n```" in page
    probe = results[(results["protocol"] == "linear_probe") & (results["metric"] == "balanced_accuracy")]
    for value in probe.loc[probe["draw"] == "all", "value"]:
        assert f"{value:.3f}" in page


def test_what_a_leak_adds_has_the_interval_of_two_independent_figures(script):
    place = {"features": "image", "method": "slimp", "protocol": "linear_probe", "metric": "balanced_accuracy"}
    clean = pd.DataFrame([place | {"value": 0.5, "ci_low": 0.46, "ci_high": 0.53}])
    leaking = pd.DataFrame([place | {"value": 0.7, "ci_low": 0.66, "ci_high": 0.73}])
    _, table = script.write_leak({"disjoint_results": clean, "results": leaking})
    # 0.2; down by hypot(0.04, 0.03), up by hypot(0.03, 0.04): 0.05 each.
    assert table.splitlines()[-1].endswith("| 0.500 | 0.700 | **+0.200 [+0.150, +0.250]** |")


def test_gaps_are_cleared_where_every_interval_stays_below_the_bound_alone(script, missingness):
    title, table, unclear = script.write_missingness({"missingness": missingness})
    assert "Fields whose gaps tell" in title and "| diameter_mm | 0.0% | 45.0% | 0.734 [0.656, 0.812] |" in table
    assert "not shown of: quiet" in unclear and "diameter" not in unclear
    (only,) = script.write_missingness({"missingness": missingness[:2]})
    assert "not shown of: quiet" in only
    (clear,) = script.write_missingness({"missingness": missingness[:2].assign(ci_high=0.59)})
    assert clear.startswith("No field's gaps tell the label")


def test_macro_f1_stands_plain_and_weighted_side_by_side(script):
    row = {"features": "image", "method": "slimp", "metric": "macro_f1", "ci_low": 0.1, "ci_high": 0.9}
    table = pd.DataFrame(
        [row | {"protocol": "linear_probe", "value": 0.3}, row | {"protocol": "linear_probe_f1", "value": 0.4}]
    )
    _, shown = script.write_macro_f1({"comparison": table})
    assert shown.splitlines()[-1] == "| image | SLIMP | 0.300 [0.100, 0.900] | 0.400 [0.100, 0.900] |"


def test_controls_and_what_fields_are_worth_are_shown_with_their_intervals(script):
    control = {"method": "slimp", "metric": "balanced_accuracy", "ci_low": 0.1, "ci_high": 0.3, "difference": 0.2}
    rows = [control | {"compared": "fused", "reference": "image"}]
    rows += [control | {"compared": "fused, shuffled", "reference": "image", "difference": 0.0, "ci_low": -0.1}]
    _, shown = script.write_controls({"controls": pd.DataFrame(rows)})
    assert shown.splitlines()[-2:] == [
        "| SLIMP | fused minus image | **+0.200 [+0.100, +0.300]** |",
        "| SLIMP | fused, shuffled minus image | +0.000 [-0.100, +0.300] |",
    ]
    field = {"method": "slimp", "field": "age_years", "level": "patient", "ci_low": 0.5, "ci_high": 0.7}
    table = pd.DataFrame(
        [
            field | {"question": "read from the image", "metric": "macro_auroc", "value": 0.6},
            field | {"question": "adds to the image", "metric": "balanced_accuracy", "value": 0.55},
        ]
    )
    _, shown = script.write_field_reading({"field_reading": table})
    assert shown.splitlines()[-1] == "| age_years | patient | 0.600 [0.500, 0.700] | **+0.550 [+0.500, +0.700]** |"
