"""Suspects are found, decided on, and gone, through the real command line."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

TARGET = "08_reporting/demo_clinic"


@pytest.fixture
def planted(with_raw_files):
    """A project whose cohort has a picture twice, and one that shows nothing: the images' ids."""
    pictures = sorted((with_raw_files.folder / "data/01_raw/test/demo_clinic/images").glob("*.png"))
    copy, original, blank = pictures[5], pictures[40], pictures[20]
    copy.write_bytes(original.read_bytes())
    Image.fromarray(np.full((90, 90, 3), 7, dtype=np.uint8)).save(blank)
    return with_raw_files, copy.stem, original.stem, blank.stem


def suspects_of(project):
    return pd.read_csv(project.latest(f"{TARGET}/suspects.csv"), dtype=str, keep_default_na=False)


def test_faults_are_found_and_what_is_decided_is_followed(planted):
    project, copy, original, blank = planted
    done = project.call("run", "--env=test", "--pipeline=inspect")
    assert done.returncode == 0, done.stdout + done.stderr
    tail = done.stdout.rstrip().splitlines()[-5:]
    assert any("1 pair of pictures has the same bytes" in line for line in tail), tail
    assert any(line.startswith("Page:") and line.endswith("suspects.html") for line in tail)
    suspects = suspects_of(project)
    first = suspects[suspects["rank"] == "1"].set_index("kind")
    pair = {first.loc["near_duplicate", "image_id"], first.loc["near_duplicate", "other_image_id"]}
    assert pair == {copy, original} and first.loc["near_duplicate", "why"].startswith("the same bytes; ")
    assert first.loc["blank", "image_id"] == blank and first.loc["off_topic", "image_id"] == blank
    page = project.latest(f"{TARGET}/suspects.html").read_text()
    assert copy in page and len(page.encode()) < 10e6
    (arrays,) = load_file(project.latest("07_model_output/demo_clinic/inspected_embedding.safetensors")).items()
    assert arrays[0] == "0|random_init" and arrays[1].dtype == np.float32
    # What people decide: the template filled in.
    template = pd.read_csv(project.latest(f"{TARGET}/decision_template.csv"), dtype=str, keep_default_na=False)
    template = template.set_index("image_id")
    template.loc[copy, ["decision", "note"]] = "duplicate_of", original
    template.loc[blank, "decision"] = "drop"
    file = project.folder / "data/01_raw/test/demo_clinic/decisions.csv"
    template.to_csv(file)
    cohort = {"target": {"cohort": {"decisions": "decisions.csv"}}}
    project.run("inspect", **cohort)
    lesions = pd.read_parquet(project.latest("03_primary/demo_clinic/lesions.parquet"))
    assert not {copy, blank} & set(lesions["image_id"]) and original in set(lesions["image_id"])
    quarantine = pd.read_csv(project.latest("03_primary/demo_clinic/quarantine.csv"), dtype=str).set_index("image_id")
    assert quarantine["reason"].to_dict() == {
        copy: "decision: a duplicate of another image", blank: "decision: drop",
    }  # fmt: skip
    manifest = json.loads(project.latest("03_primary/demo_clinic/manifest.json").read_text())
    assert manifest["decisions"] == {"keep": 0, "drop": 1, "duplicate_of": 1, "wrong_label": 0}
    assert (manifest["num_rows_quarantined"], manifest["files_unused"]["row_set_aside"]) == (2, 2)
    after = suspects_of(project)
    assert not {copy, blank} & {*after["image_id"], *after["other_image_id"]} and "blank" not in set(after["kind"])
    # An edited file is read again, though nothing else has changed; and one that can't be followed changes nothing.
    template.loc[copy, ["decision", "note"]] = "keep", ""
    template.to_csv(file)
    project.run("ingest", **cohort)
    assert copy in set(pd.read_parquet(project.latest("03_primary/demo_clinic/lesions.parquet"))["image_id"])
    file.write_text(f"image_id,decision,note\n{copy},keep,\nnobody,drop,\n")
    refused = project.call("run", "--env=test", "--pipeline=ingest", "--params=target.cohort.decisions=decisions.csv")
    assert refused.returncode == 1
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "line 3, column image_id: the cohort has no image 'nobody'" in said and "Traceback" not in said


def test_neither_page_nor_ids_of_suspects_are_sent_to_mlflow(planted):
    project, *_ = planted
    project.run("inspect")
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    assert not mlflow.MlflowClient().list_artifacts(run.info.run_id)


def test_pretrained_encoders_are_taken_where_they_are_there_and_asked_for_where_not(with_raw_files):
    project = with_raw_files
    with pytest.raises(FileNotFoundError, match=r"inspection\.encoder is pretrained, and there is no pre-trained"):
        project.run("inspect", inspection={"encoder": "pretrained"})
    project.run("pretrain")
    for encoder, method in (("auto", "slimp"), ("initial", "random_init")):
        project.run("inspect", inspection={"encoder": encoder})
        arrays = load_file(project.latest("07_model_output/demo_clinic/inspected_embedding.safetensors"))
        assert list(arrays) == [f"0|{method}"]
