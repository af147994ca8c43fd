"""Settings searched for through real runs, on a fabricated cohort."""

import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

MODELS, INPUT, REPORTING = (f"{layer}/demo_clinic" for layer in ("06_models", "05_model_input", "08_reporting"))
RATES = {"training.learning_rate": {"low": 1.0e-4, "high": 1.0e-1, "log": True}}
SEARCHED = {
    "source": {"cohort": {"fabricated": {"num_patients": 60}}},
    "features": {"num_folds": 0, "holdout_share": 0.25},
    "study": {"seeds": [0], "variants": []},
    "search": {"space": RATES, "budget_hours": 1.0, "num_trials": 2},
}


@pytest.fixture
def project(with_raw_files):
    """A project whose environment `test` searches on the clinic, of which a quarter is held out."""
    folder = with_raw_files.evaluate_little().folder / "conf/test"
    settings = yaml.safe_load((folder / "parameters.yml").read_text())
    for name, block in SEARCHED.items():
        settings[name] = {**settings.get(name, {}), **block}
    (folder / "parameters.yml").write_text(yaml.safe_dump(settings))
    (folder / "globals.yml").write_text("source_cohort: demo_clinic\ntarget_cohort: demo_clinic\n")
    return with_raw_files


def trials_of(project) -> pd.DataFrame:
    trials = pd.read_parquet(project.latest(f"{MODELS}/search_trials.parquet"))
    return trials.drop(columns=["hours", "ended_at_hours"])


def test_a_study_searches_once_runs_each_cell_of_its_grid_once_with_what_was_chosen_and_compares_them(project, caplog):
    variants = [
        {"label": "simclr", "changes": {"training.loss.objective": "simclr"}},
        {"label": "own", "changes": {"training.loss.lesion_weight": 0.75}},
    ]
    space = RATES | {"training.loss.lesion_weight": {"choices": [0.25, 0.5]}}
    grid: dict[str, Any] = {"study": {"variants": variants}, "search": {"space": space, "num_trials": 1}}
    with caplog.at_level(logging.INFO, logger="slimp_pipeline"):
        project.study(**grid)
        project.study(**grid)
    assert caplog.text.count("The search: finished earlier") == 1
    assert caplog.text.count("finished earlier, version") == 2
    assert project.versions(f"{REPORTING}/predictions.parquet") == 2
    values = pd.read_csv(project.latest(f"{REPORTING}/comparison.csv"))
    image = values[(values["features"] == "image") & (values["metric"] == "balanced_accuracy")]
    assert image.set_index("method")["num_runs"].to_dict() == {"own": 1, "simclr": 1, "random_init": 1}
    chosen = json.loads(project.latest(f"{MODELS}/chosen_settings.json").read_text())["chosen"]
    config = json.loads((project.latest(f"{MODELS}/encoders") / "holdout/config.json").read_text())
    trained = config["slimp"]["facts"]["training"]
    assert trained["learning_rate"] == chosen["training.learning_rate"]
    assert chosen["training.loss.lesion_weight"] == 0.5 and trained["loss"]["lesion_weight"] == 0.75  # its own wins
    searched = set(pd.read_parquet(project.latest(f"{INPUT}/search_rows.parquet"))["patient_id"])
    predictions = pd.read_parquet(project.latest(f"{REPORTING}/predictions.parquet"))
    assert set(predictions["draw"]) == {"holdout"} and not searched & set(predictions["patient_id"])


def test_a_search_leaves_tables_figures_and_an_mlflow_run(project):
    project.run("search")
    trials, curves = trials_of(project), pd.read_parquet(project.latest(f"{MODELS}/search_curves.parquet"))
    assert list(trials["state"]) == ["complete", "complete"] and len(curves) == 4  # of two epochs each
    splits = pd.read_csv(project.latest(f"{INPUT}/as_source/splits.csv"))
    rows = pd.read_parquet(project.latest(f"{INPUT}/search_rows.parquet"))
    assert set(rows["image_id"]) == set(splits.loc[splits["split"] == "train", "image_id"])
    for figure in ("search_figure", "search_budget_figure"):
        assert json.loads(project.latest(f"{REPORTING}/{figure}.json").read_text())["data"]
    run = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    best = json.loads(project.latest(f"{MODELS}/chosen_settings.json").read_text())
    assert run.data.metrics["search/balanced_accuracy"] == best["value"] == trials["value"].max()
    assert json.loads(run.data.tags["chosen_settings"]) == best["chosen"]
    assert {"pretrain/trial_0/balanced_accuracy", "pretrain/trial_1/images_seen"} <= set(run.data.metrics)


def journal_lines(folder: Path) -> int:
    journals = list(folder.glob("data/06_models/running/search_*/journal.jsonl"))
    return len(journals[0].read_text().splitlines()) if journals else 0


def test_a_study_goes_on_with_a_search_that_was_killed_and_takes_the_same_trials(project):
    process = project.start("run", "--env=test", "--pipeline=search", "--params=search.num_trials=50")
    deadline = time.monotonic() + 200
    while journal_lines(project.folder) < 12:  # the second trial
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.end(60)
    before = trials_noted(project.folder)
    done = project.call("study", "--env=test", f"--params=search.num_trials={before + 1}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Going on with a search" in done.stdout
    going_on = trials_of(project)
    project.run("search", running_root=str(project.folder / "anew"), search={"num_trials": before + 1})
    pd.testing.assert_frame_equal(trials_of(project), going_on)


def trials_noted(folder: Path) -> int:
    journal = next(folder.glob("data/06_models/running/search_*/journal.jsonl"))
    return sum('"op_code":4' in line for line in journal.read_text().splitlines())


def test_what_cannot_be_searched_is_refused_before_anything_is_computed(project):
    for search, words in (
        ({"space": {"training.learning_rat": {"choices": [1, 2]}}}, r"search: space: there is no setting training\."),
        ({"budget_hours": None}, r"search: budget_hours is missing"),
    ):
        with pytest.raises(ValueError, match=words):
            project.study(search=search)
    assert not (project.folder / "data/06_models").exists()


def test_a_search_on_a_cohort_that_is_tested_in_folds_is_refused(project):
    with pytest.raises(ValueError, match="test rows would choose settings"):
        project.run("search", features={"num_folds": 3})


def test_several_cohorts_are_searched_each_split_and_measured_by_itself(with_raw_files, caplog):
    project = with_raw_files
    path = project.folder / "conf/test/parameters.yml"
    settings = yaml.safe_load(path.read_text())
    sizes = {"demo_tbp": 14, "demo_clinic": 60}  # as they are fabricated already
    members = {name: {"fabricated": {"num_patients": size}} for name, size in sizes.items()}
    path.write_text(yaml.safe_dump(settings | {"source": {"cohort": {"members": members}}}))
    roles = "source_cohort: [demo_tbp, demo_clinic]\ntarget_cohort: demo_tbp\n"
    (project.folder / "conf/test/globals.yml").write_text(roles)
    with caplog.at_level(logging.INFO, logger="slimp_pipeline"):
        project.run(
            "search", training={"num_epochs": 1}, search={"space": RATES, "budget_hours": 1.0, "num_trials": 1},
            features={"split_level": "site", "num_folds": 0, "holdout_share": 0.25},
        )  # fmt: skip
    together = "demo_tbp+demo_clinic"
    lesions = pd.read_parquet(project.latest(f"03_primary/{together}/as_source/lesions.parquet"))
    rows = pd.read_parquet(project.latest(f"05_model_input/{together}/search_rows.parquet")).merge(lesions)
    sites = rows.groupby(["site_id", "part"])["cohort"].unique()  # of the clinic no site is known
    assert {part: list(cohorts) for (_, part), cohorts in sites.items()} == {
        "training": ["demo_tbp"], "validation": ["demo_tbp"],
    } and sites.index.get_level_values("site_id").nunique() == 2  # fmt: skip
    patients = rows[rows["cohort"] == "demo_clinic"].groupby("part")["patient_id"].nunique()
    assert 9 <= patients["validation"] <= 15 and patients.sum() == 60
    chosen = json.loads(project.latest(f"06_models/{together}/chosen_settings.json").read_text())
    assert chosen["measured_on"] == ["demo_clinic", "demo_tbp"]
    assert "mean of demo_clinic, demo_tbp" in caplog.text
