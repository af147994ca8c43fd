"""Adaptation, extrapolation, comparison and study through real runs, on fabricated cohorts."""

import json

import mlflow
import pandas as pd
import pytest

from slimp_pipeline.models.checkpoint import read_checkpoint

CLINIC = "08_reporting/demo_clinic"


def test_the_target_is_adapted_to_fold_by_fold_on_its_training_patients_alone(finished):
    project, done = finished
    assert "Adaptation trains:" in done.stdout and "Pre-training demo_clinic" not in done.stdout
    rows = pd.read_parquet(project.latest("06_models/demo_clinic/adaptation_rows.parquet"))
    splits = pd.read_csv(project.latest("05_model_input/demo_clinic/splits.csv"))
    for fold in range(3):
        adapted = rows[rows["partition"] == f"fold_{fold}"]
        assert not set(adapted["patient_id"]) & set(splits.loc[splits["fold"] == fold, "patient_id"])
        checkpoint = read_checkpoint(project.latest("06_models/demo_clinic/adapted_encoders") / f"fold_{fold}")
        assert checkpoint.facts["adapted_to"] == "demo_clinic"
        assert "fitzpatrick" in checkpoint.encoding.patient.fields  # the target's fields, not the source's


def test_metadata_are_borrowed_judged_and_shown(copy_of_finished):
    project = copy_of_finished()
    project.run("extrapolate")
    borrowed = pd.read_parquet(project.latest("07_model_output/demo_clinic/borrowed.parquet"))
    rows = pd.read_parquet(project.latest("07_model_output/demo_clinic/evaluation_rows.parquet"))
    assert sorted(borrowed["image_id"]) == sorted(rows["image_id"])
    assert borrowed["similarity"].between(-1, 1).all() and "tbp_lv_H" in borrowed
    quality = pd.read_csv(project.latest(f"{CLINIC}/borrowed_quality.csv"))
    assert {"age_years", "sex"} <= set(quality["field"])
    others = pd.read_csv(project.latest(f"{CLINIC}/borrowed_other_fields.csv"))
    assert others.set_index("field").loc["tbp_lv_H", "reason"] == "absent from the target"
    worth = pd.read_csv(project.latest(f"{CLINIC}/borrowed_worth.csv"))
    assert set(worth["reference"]) == {"images alone", "images and the target's own metadata"}
    page = project.latest(f"{CLINIC}/extrapolation.html").read_text()
    assert "Is what was borrowed true?" in page and "Best and worst cases" in page


def test_a_reference_smaller_than_the_neighbours_asked_for_is_refused(copy_of_finished):
    with pytest.raises(ValueError, match=r"Set extrapolation\.num_neighbours lower"):
        copy_of_finished().run("extrapolate", extrapolation={"num_neighbours": 100000})


def test_runs_are_compared_by_version_and_by_mlflow_run(copy_of_finished):
    project = copy_of_finished()
    project.run("evaluate", evaluation={"protocols": ["linear_probe"], "probe": {"strengths": [100]}})
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    (whole,) = [run for run in runs if run.info.run_name.startswith("everything")]
    newest = project.latest(f"{CLINIC}/predictions.parquet").parent.name
    project.run("compare", comparison={"groups": {"weak": [whole.info.run_id], "strong": newest}})
    pairs = pd.read_csv(project.latest(f"{CLINIC}/comparison_pairs.csv"))
    chosen = pairs[(pairs["method"] == "weak") & (pairs["reference"] == "strong")]
    assert len(chosen) and chosen["within_noise"].notna().all()
    assert "weak" in project.latest(f"{CLINIC}/comparison.html").read_text()
    with pytest.raises(ValueError, match="neither a version"):
        project.run("compare", comparison={"groups": {"weak": ["nope"]}})


def test_a_wrong_change_of_any_variant_stops_a_study_before_it_starts(fresh):
    variants = [{"label": "slimp"}, {"label": "wrong", "changes": {"training.loss.objektive": "flat"}}]
    with pytest.raises(ValueError, match=r"training\.loss\.objektive: there is no such setting"):
        fresh.study(study={"seeds": [0], "variants": variants})
    assert not (fresh.folder / "data").exists()


def test_a_leaking_split_says_so_on_the_console_and_in_its_results(with_raw_files, caplog):
    project = with_raw_files.evaluate_little()
    roles = {"source_cohort": "demo_clinic", "target_cohort": "demo_clinic"}
    roles["source"] = {"cohort": {"fabricated": {"num_patients": 60}}}
    for pipeline in ("pretrain", "evaluate"):
        project.run(pipeline, **roles, training={"num_epochs": 1}, features={"split_level": "image"})
    assert "its figures are no results" in caplog.text
    results = pd.read_csv(project.latest(f"{CLINIC}/results.csv"))
    assert set(results["cohort"]) == {"demo_clinic (split by image: leaks)"}
    with pytest.raises(ValueError, match="every run on demo_clinic was left out"):
        project.run("compare", **roles)
    project.run("compare", **roles, features={"split_level": "image"})
    assert set(pd.read_csv(project.latest(f"{CLINIC}/comparison.csv"))["cohort"]) == set(results["cohort"])
    splits = pd.read_csv(project.latest("05_model_input/demo_clinic/splits.csv"))
    assert splits.groupby("patient_id")["fold"].nunique().max() > 1
    assert json.loads(project.latest("03_primary/demo_clinic/manifest.json").read_text())["cohort"] == "demo_clinic"
