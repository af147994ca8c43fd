"""Two runs in one project at the same time, and pages whose parts belong together."""

import os
import re
import signal
import time

import mlflow
import pandas as pd
import pytest


def classes_by_version(project) -> dict[str, set[str]]:
    """Classes in the predictions of every version, and the versions that have results."""
    base = project.folder / "data/08_reporting/demo_clinic"
    paths = base.glob("predictions.parquet/*/predictions.parquet")
    return {path.parent.name: set(pd.read_parquet(path)["label"]) for path in paths}


def rests_on(page: str) -> tuple[str, str]:
    """Versions of the evaluation and of the pre-training that a page names."""
    evaluation, pretraining = (
        re.search(rf"version of the {name}</th><td[^>]*>([^<]*)</td>", page)[1]
        for name in ("evaluation", "pre-training")
    )
    return evaluation, pretraining


def test_two_runs_started_in_the_same_second_in_a_fresh_project_end_well_and_mix_nothing(untouched):
    untouched.evaluate_little()
    labels = ("diagnosis", "malignant")
    running = [untouched.start("run", "--env=test", f"--params=evaluation.label={label}") for label in labels]
    for process, label in zip(running, labels, strict=True):
        output, errors = process.end()
        assert process.returncode == 0, f"{label}: {output}\n{errors}"
    base = untouched.folder / "data/08_reporting/demo_clinic"
    classes = classes_by_version(untouched)
    assert sorted(map(len, classes.values())) == [2, 6]
    mlflow.set_tracking_uri(f"sqlite:///{untouched.folder}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    for run in runs:
        version = run.data.tags["version"]
        assert len(classes[version]) == (6 if run.data.params["evaluation.label"] == "diagnosis" else 2)
        results = pd.read_csv(base / "results.csv" / version / "results.csv").query("draw == 'all'")
        slimp = results.query("method == 'slimp' and features == 'image' and protocol == 'linear_probe'")
        value = slimp.set_index("metric").loc["balanced_accuracy", "value"]
        assert value == run.data.metrics["slimp/image/linear_probe/balanced_accuracy"]
        assert (base / "report.html" / version / "report.html").is_file()
    assert not list((untouched.folder / "data").rglob(".unfinished-*"))
    assert len(list((untouched.folder / "data/06_models/running").glob("*/step_*"))) == 4  # the same trainings, once


def test_a_page_after_a_killed_evaluation_shows_the_last_whole_one_and_says_so(copy_of_finished, caplog):
    project = copy_of_finished()
    whole = project.latest("08_reporting/demo_clinic/results.csv").parent.name
    killed = project.start("run", "--env=test", "--pipeline=evaluate", "--params=evaluation.label=malignant")
    deadline = time.monotonic() + 120
    while len(classes_by_version(project)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.end()
    assert project.versions("08_reporting/demo_clinic/predictions.parquet") == 2
    assert project.versions("08_reporting/demo_clinic/evaluation_lineage.json") in (1, 2)
    with caplog.at_level("INFO"):
        project.run("report", evaluation={"label": "malignant"})
    assert "was of another pipeline, or didn't end" in caplog.text and f"Reads the run of {whole}: " in caplog.text
    page = project.latest("08_reporting/demo_clinic/report.html").read_text(encoding="utf-8")
    assert rests_on(page) == (whole, whole)


def test_a_report_shows_the_training_that_its_evaluation_rests_on(copy_of_finished):
    project = copy_of_finished()
    first = project.latest("06_models/demo_tbp/history.parquet").parent.name
    project.run("pretrain", training={"num_epochs": 1})
    assert project.latest("06_models/demo_tbp/history.parquet").parent.name != first
    project.run("report")
    page = project.latest("08_reporting/demo_clinic/report.html").read_text(encoding="utf-8")
    assert rests_on(page)[1] == first


def test_a_cohort_that_cant_be_told_apart_is_refused_before_anything_is_trained(fresh):
    with pytest.raises(ValueError, match=r"evaluation.label is malignant, .* can't be told apart by it: none has one"):
        fresh.run(target={"cohort": {"label": {"malignant": []}}}, evaluation={"label": "malignant"})
    assert not list((fresh.folder / "data/06_models").rglob("*.safetensors"))
