"""One's own folder, embedded through the real command line: broken files, a kill, lesions, a challenge's file."""

import hashlib
import json
import os
import shutil
import signal
import time

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

EMBED = ("run", "--env=test", "--pipeline=embed")
TABLES = "07_model_output/embedded"


@pytest.fixture
def pictures(tmp_path):
    """Six hundred pictures, more than a shard holds."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(600):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"ISIC_{number:07d}.png")
    return folder


def in_one_line(done):
    return " ".join((done.stdout + done.stderr).split())


def digest(project, name):
    return hashlib.sha256(project.latest(f"{TABLES}/{name}").read_bytes()).hexdigest()


def test_a_killed_run_goes_on_to_the_same_bytes_and_a_changed_folder_starts_anew(copy_of_exported, pictures):
    project = copy_of_exported
    command = (*EMBED, f"--params=images={pictures}")
    whole = project.call(*command)
    assert whole.returncode == 0, whole.stderr
    assert "600 pictures embedded" in whole.stdout and "earlier run" not in whole.stdout
    expected = digest(project, "picture_embeddings.parquet")
    running = project.folder / "data/06_models/running/embedded"
    shutil.rmtree(running)
    killed = project.start(*command)
    deadline = time.monotonic() + 120
    while not list(running.glob("*/shard_*")) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.end()
    assert killed.poll() == -signal.SIGKILL and len(list(running.glob("*/shard_*"))) == 1
    again = project.call(*command)
    assert again.returncode == 0 and "512 of 600 pictures were looked at by an earlier run" in again.stdout
    assert digest(project, "picture_embeddings.parquet") == expected
    (pictures / "ISIC_0000000.png").unlink()
    fewer = project.call(*command)
    assert "599 pictures embedded" in fewer.stdout and "earlier run" not in fewer.stdout


def test_what_is_no_picture_ends_the_command_with_an_error_and_all_else_is_there(copy_of_exported, pictures):
    project = copy_of_exported
    (pictures / "broken.png").write_bytes((pictures / "ISIC_0000001.png").read_bytes()[:100])
    (pictures / "page.jpg").write_text("<html>")
    (pictures / "out.png").symlink_to("/etc/hostname")
    (pictures / "notes.txt").write_text("x")
    Image.new("1", (9000, 9000)).save(pictures / "huge.png")
    done = project.call(*EMBED, f"--params=images={pictures}")
    said = in_one_line(done)
    assert done.returncode == 1 and "Traceback" not in said
    assert "4 of 604 pictures weren't embedded" in said and "megapixels" in said
    assert "1 x a link that leads out of the folder: what it points to isn't read (out.png)" in said
    assert "The other 600 were, and all tables are written" in said
    ledger = pd.read_csv(project.latest(f"{TABLES}/picture_ledger.csv")).set_index("picture")
    assert ledger["outcome"].value_counts().to_dict() == {"embedded": 600, "refused": 4, "no_picture": 1}
    assert ledger.loc["page.jpg", "reason"].startswith("not a picture") and "HTML" in ledger.loc["page.jpg", "reason"]
    assert len(pd.read_parquet(project.latest(f"{TABLES}/picture_embeddings.parquet"))) == 600
    share = said.partition("embedding.max_refused_share=")[2].split()[0]
    accepted = project.call(*EMBED, f"--params=images={pictures},embedding.max_refused_share={share}")
    assert accepted.returncode == 0 and "4 pictures refused, 1 other files" in accepted.stdout
    summary = json.loads(project.latest("08_reporting/embedded/embedding_summary.json").read_text())
    assert (summary["num_embedded"], summary["num_refused"], summary["num_no_picture"]) == (600, 4, 1)


def test_lesions_are_pooled_and_a_challenge_gets_its_file(copy_of_finished, pictures, tmp_path):
    project = copy_of_finished()
    quick = {"label": "malignant", "protocols": ["linear_probe"]}
    project.run("evaluate", evaluation=quick)
    project.run("export", export={"onnx": False}, evaluation={"label": "malignant"})
    ids = sorted(path.stem for path in pictures.iterdir())
    table = pd.DataFrame({"image_id": [*ids[:599], "ISIC_9999999"], "sex": "female", "mood": "good"})
    table["lesion_id"] = [f"lesion {number // 2}" for number in range(600)]
    table.to_excel(tmp_path / "metadata.xlsx", index=False)
    sample = pd.DataFrame({"isic_id": list(reversed(ids)), "target": 0.3})
    sample.to_csv(tmp_path / "sample.csv", index=False)
    asked = f"images={pictures},metadata={tmp_path}/metadata.xlsx,challenge=isic2024,sample={tmp_path}/sample.csv"
    done = project.call(*EMBED, f"--params={asked}")
    said = in_one_line(done)
    assert done.returncode == 0, said
    assert "columns that aren't fields of the encoder, and aren't read: mood" in said
    assert "1 rows of the table without a picture, 1 pictures without a row" in said
    ledger = pd.read_csv(project.latest(f"{TABLES}/picture_ledger.csv")).set_index("picture")
    assert ledger.loc["ISIC_9999999", "reason"] == "line 601 of the metadata table: no picture has this name"
    assert ledger.loc["ISIC_0000599.png", "reason"].startswith("no row of the metadata table")
    rows = pd.read_parquet(project.latest(f"{TABLES}/picture_embeddings.parquet"))
    lesions = pd.read_parquet(project.latest(f"{TABLES}/lesion_embeddings.parquet")).set_index("lesion_id")
    assert lesions["num_pictures"].value_counts().to_dict() == {2: 299, 1: 1} and "patient_embedding" in rows
    first = rows[rows["lesion_id"] == "lesion 0"]
    assert lesions.loc["lesion 0", "probability_malignant"] == pytest.approx(first["probability_malignant"].mean())
    handed_in = pd.read_csv(project.latest("08_reporting/embedded/challenge_files") / "isic2024.csv")
    assert list(handed_in) == ["isic_id", "target"] and handed_in["isic_id"].tolist() == list(reversed(ids))
    own = rows.set_index("image_id")["probability_malignant"]
    np.testing.assert_allclose(handed_in["target"], own[handed_in["isic_id"]])
    other = project.call(*EMBED, f"--params=images={pictures},metadata={tmp_path}/metadata.xlsx,challenge=milk10k")
    assert other.returncode == 1 and "milk10k asks for the classes AKIEC, BCC" in in_one_line(other)
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    run = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")[0]
    assert not [value for value in run.data.params.values() if str(tmp_path) in value]


def test_without_folder_or_export_it_is_said_what_to_do_and_an_export_may_lie_anywhere(exported, fresh, pictures):
    done = fresh.call(*EMBED)
    assert done.returncode == 1 and "--params=images=<folder>" in in_one_line(done)
    done = fresh.call(*EMBED, f"--params=images={pictures}")
    assert done.returncode == 1 and "Run `kedro run --pipeline=export` first" in in_one_line(done)
    folder = exported.latest("06_models/demo_tbp/exported_model")
    done = fresh.call(*EMBED, f"--params=images={pictures},encoder={folder.parent.parent}")
    said = in_one_line(done)
    assert done.returncode == 1 and "Below it are: " in said and str(folder) in said
    done = fresh.call(*EMBED, f"--params=images={pictures},encoder={folder}")
    assert done.returncode == 0, done.stderr
    assert "600 pictures embedded" in done.stdout
