"""The encoder behind a server: it reads the images of one folder and nothing else."""

import json
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from PIL import Image

import slimp_pipeline
from slimp_pipeline.models.checkpoint import Checkpoint, write_checkpoint
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, MetadataEncoderParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding
from slimp_pipeline.tracking import pyfunc_model

ARGUMENTS = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory):
    torch.manual_seed(0)
    image_encoder = ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, arguments=ARGUMENTS)
    settings = ModelParams(image_encoder=image_encoder, metadata_encoder=MetadataEncoderParams(dim=16))
    nothing = LevelEncoding(fields={})
    encoding = Encoding(lesion=nothing, patient=nothing, num_patients=2)
    state = SLIMP(settings, LossParams(), encoding).state_dict()
    folder = tmp_path_factory.mktemp("model") / "all"
    write_checkpoint(Checkpoint(state, settings, LossParams(), encoding), folder)
    return folder


@pytest.fixture(scope="module")
def encoder(checkpoint_folder):
    model = pyfunc_model.EncoderModel()
    context = type("Context", (), {"artifacts": {"checkpoint": str(checkpoint_folder)}})
    model.load_context(context)
    return lambda table: model.predict(context, table)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A served folder with pictures, and a picture beside it that is none of the client's business."""
    (tmp_path / "served" / "deep").mkdir(parents=True)
    for name in ("served/a.png", "served/deep/b.jpg", "secret.png"):
        Image.new("RGB", (20, 20), "peru").save(tmp_path / name)
    (tmp_path / "served" / "link.png").symlink_to(tmp_path / "served" / "a.png")
    (tmp_path / "served" / "out.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "served" / "away").symlink_to(tmp_path)
    (tmp_path / "served" / "loop.png").symlink_to(tmp_path / "served" / "loop.png")
    (tmp_path / "served" / "text.jpg").write_text("no picture")
    monkeypatch.setenv("SLIMP_SERVED_FOLDER", str(tmp_path / "served"))
    return tmp_path / "served"


def refusal(encoder, table) -> str:
    with pytest.raises(MlflowException) as caught:
        encoder(table)
    assert caught.value.get_http_status_code() == 400
    return caught.value.message


def test_images_of_the_served_folder_are_embedded_by_relative_or_whole_path(encoder, checkpoint_folder, served):
    paths = ["a.png", str(served / "a.png"), "deep/b.jpg", "link.png"]
    embedding = encoder(pd.DataFrame({"path": paths}))
    assert embedding.shape == (4, 32)
    plain = slimp_pipeline.load(checkpoint_folder).encode_images([served / path for path in paths])
    np.testing.assert_array_equal(embedding.to_numpy(), plain)


OUTSIDE = [
    *(
        "../secret.png",
        "{folder}/../secret.png",
        "deep/../../secret.png",
        "deep/../a.png",
        "/etc/passwd",
        "{folder}x/a",
    ),
    *("out.png", "away/secret.png", "loop.png", "a\x00.png", "x" * 5000, None, float("nan"), 7, b"a.png"),
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leaves_the_served_folder_is_refused_unopened(encoder, served, path, opened):
    path = path.format(folder=served) if isinstance(path, str) else path
    message = refusal(encoder, pd.DataFrame({"path": pd.Series([path], dtype=object)}))
    assert "is no path within the served folder (SLIMP_SERVED_FOLDER)" in message
    assert not opened


@pytest.fixture
def opened():
    """Files that were opened during the test."""
    seen: list[str] = []
    watching = True

    def watch(event, arguments):
        if watching and event == "open":
            seen.append(str(arguments[0]))

    sys.addaudithook(watch)  # can't be taken away again
    yield seen
    watching = False


@pytest.mark.parametrize("folder", [None, "", "absent"])
def test_without_a_served_folder_every_path_is_refused(encoder, served, monkeypatch, folder):
    monkeypatch.chdir(served)
    if folder is None:
        monkeypatch.delenv("SLIMP_SERVED_FOLDER")
    else:
        monkeypatch.setenv("SLIMP_SERVED_FOLDER", folder)
    for path in ("a.png", str(served / "a.png"), "/etc/passwd"):
        message = refusal(encoder, pd.DataFrame({"path": [path]}))
        assert "sets the environment variable SLIMP_SERVED_FOLDER to the folder" in message


def test_the_folder_that_counts_is_that_of_the_time_of_serving(encoder, served, monkeypatch, tmp_path):
    monkeypatch.setenv("SLIMP_SERVED_FOLDER", str(served / "deep"))
    assert encoder(pd.DataFrame({"path": ["b.jpg"]})).shape == (1, 32)
    assert "is no path within" in refusal(encoder, pd.DataFrame({"path": [str(served / "a.png")]}))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pd.DataFrame({"file": ["a.png"]}), "The table needs a column `path`; it has file."),
        (pd.DataFrame(), "The table needs a column `path`; it has none."),
        (pd.DataFrame({"path": []}), "The table has no rows: give at least one path."),
        (pd.DataFrame({"path": ["absent.png"]}), "There is no file 'absent.png' in the served folder"),
        (pd.DataFrame({"path": ["deep"]}), "There is no file 'deep' in the served folder"),
        (pd.DataFrame({"path": ["text.jpg"]}), "text.jpg: not a picture in a format that is read"),
    ],
)
def test_what_cannot_be_embedded_is_said_in_a_sentence(encoder, served, table, reason):
    assert reason in refusal(encoder, table)


def test_a_server_answers_400_to_paths_that_leave_the_folder(checkpoint_folder, served, tmp_path):
    testclient = pytest.importorskip("fastapi.testclient")
    from mlflow.pyfunc import scoring_server

    mlflow.pyfunc.save_model(
        tmp_path / "saved",
        python_model=pyfunc_model.__file__,
        artifacts={"checkpoint": str(checkpoint_folder)},
        pip_requirements=[],
        signature=ModelSignature(inputs=Schema([ColSpec("string", "path")])),
    )
    client = testclient.TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(tmp_path / "saved"))))

    def ask(records):
        return client.post("/invocations", json={"dataframe_records": records})

    good = ask([{"path": "a.png"}])
    assert good.status_code == 200 and len(json.loads(good.text)["predictions"][0]) == 32
    for records in ([{"path": "/etc/passwd"}], [{"path": "../secret.png"}], [{"file": "a.png"}], [{"path": "x.png"}]):
        assert ask(records).status_code == 400
