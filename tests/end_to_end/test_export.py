"""`kedro run --pipeline=export`, and what others make of it."""

import mlflow
import pandas as pd
import pytest
import timm

import slimp_pipeline
from slimp_pipeline.handover.reader import LesionReader

EXPORTED = "06_models/demo_tbp/exported_model"


def test_an_export_rests_on_the_evaluation_is_registered_and_holds_nobodys_id(copy_of_finished):
    project = copy_of_finished()
    project.run("export")
    folder = project.latest(EXPORTED)
    assert timm.create_model(f"local-dir:{folder}", pretrained=True).num_features == 32
    reader = LesionReader(folder)
    rows = pd.read_parquet(project.latest("07_model_output/demo_clinic/evaluation_rows.parquet"))
    assert sorted(reader.known.diagnosis_N) == sorted(rows["diagnosis"].dropna())
    assert reader.classifier.classes == sorted(rows["diagnosis"].dropna().unique())
    pictures = sorted((project.folder / "data/01_raw/test/demo_clinic/images").glob("*.png"))[:3]
    readings = reader.read([path.read_bytes() for path in pictures], pd.DataFrame(index=range(3)))
    assert readings.distance_NK[:, 0] == pytest.approx(0, abs=1e-3)  # each is known
    assert (readings.unusual_N < reader.known.unusual_above).any()
    ids = [str(name).encode() for column in ("image_id", "patient_id") for name in rows[column].unique()]
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not [name for name in ids if name in content], path.name
    results = pd.read_csv(project.latest("08_reporting/demo_clinic/results.csv"))
    shown = results.query("draw == 'all' and protocol == 'linear_probe' and metric == 'balanced_accuracy'").iloc[0]
    assert f"{shown['value']:.3f} [{shown['ci_low']:.3f}, {shown['ci_high']:.3f}]" in (folder / "README.md").read_text()
    assert "CC0 (fabricated, no patient is real)" in (folder / "README.md").read_text()
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    assert str(mlflow.MlflowClient().get_model_version_by_alias("slimp-demo_tbp", "newest").version) == "1"
    assert pd.read_json(project.latest("08_reporting/demo_tbp/published.json"), typ="series").empty


def test_without_an_evaluation_the_encoder_is_exported_alone_and_an_encoder_of_another_is_no_ground_for_it(
    copy_of_finished, caplog
):
    project = copy_of_finished()
    evaluated = project.latest("06_models/demo_tbp/encoders").parent.name
    project.run("pretrain", training={"seed": 5}, ingest={"max_side_px": 40})
    newer = project.latest("06_models/demo_tbp/encoders").parent.name
    asked = f"--load-versions=encoders:{newer},training_rows:{newer}"
    done = project.call("run", "--env=test", "--pipeline=export", asked, "--params=export.onnx=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No evaluation rests on these encoders: without known lesions, classifier and results" in done.stdout
    folder = project.latest(EXPORTED)
    assert f"Export:   {folder.relative_to(project.folder)}" in done.stdout
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if name.startswith(("known", "classifier")) or name.endswith(".onnx")]
    facts = slimp_pipeline.load(folder).checkpoint.facts
    assert facts["training"]["seed"] == 5 and facts["max_side_px"] == 40
    project.run("export", export={"onnx": False})  # by itself it takes the encoders that were evaluated
    assert LesionReader(project.latest(EXPORTED)).known is not None
    assert slimp_pipeline.load(project.latest(EXPORTED)).checkpoint.facts["training"]["seed"] == 0
    assert evaluated < newer


def test_a_push_without_a_token_and_a_partition_that_is_not_there_are_said_in_a_sentence(copy_of_finished, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    project = copy_of_finished()
    done = project.call("run", "--env=test", "--pipeline=export", "--params=export.onnx=false,export.partition=fold_9")
    assert done.returncode == 1
    assert "export.partition: there is no encoder 'fold_9'. There are: all" in done.stdout + done.stderr
    done = project.call("run", "--env=test", "--pipeline=export", "--params=export.onnx=false,export.hub=me/encoder")
    assert "to push to me/encoder a token is needed. Set the environment variable HF_TOKEN" in done.stdout + done.stderr
    done = project.call("run", "--env=test", "--pipeline=export", "--params=export.hub=nonsense")
    assert "export.hub: String should match pattern" in done.stdout + done.stderr
