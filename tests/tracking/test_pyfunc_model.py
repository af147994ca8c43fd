"""The encoder behind a server: it reads what comes with the request, and nothing of the server's disk."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image
from tests.handover.conftest import NOTHING_SEEN, SETTINGS, checkpoint, encoding, evaluated, lesion_level
from tests.models.conftest import model_settings, tiny_vit

import slimp_pipeline
from slimp_pipeline.handover.exported import export
from slimp_pipeline.parameters import ExportParams
from slimp_pipeline.tracking import pyfunc_model
from slimp_pipeline.tracking.model import log_model

__all__ = ["checkpoint", "encoding", "evaluated", "lesion_level", "model_settings", "tiny_vit"]


@pytest.fixture
def folder(checkpoint, evaluated, tmp_path):
    (tmp_path / "exported").mkdir()
    export({"all": checkpoint}, NOTHING_SEEN, evaluated, SETTINGS, ExportParams(onnx=False)).write(
        tmp_path / "exported"
    )
    return tmp_path / "exported"


@pytest.fixture
def ask(folder):
    model = pyfunc_model.EncoderModel()
    model.load_context(type("Context", (), {"artifacts": {"checkpoint": str(folder)}}))
    return lambda table: model.predict(None, table)


def encoded(colour: str = "peru", file_format: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 24), colour).save(buffer, file_format)
    return base64.b64encode(buffer.getvalue()).decode()


def refusal(ask, table) -> str:
    with pytest.raises(MlflowException) as caught:
        ask(table)
    assert caught.value.get_http_status_code() == 400
    return caught.value.message


def test_bytes_and_fields_go_in_and_embeddings_neighbours_and_probabilities_come_out(ask, folder, tmp_path):
    table = pd.DataFrame(
        {"image": [encoded(), encoded("black", "JPEG")], "diameter_mm": [5.0, None], "sex": ["male", None]}
    )
    told = ask(table)
    (tmp_path / "a.png").write_bytes(base64.b64decode(table["image"][0]))
    encoder = slimp_pipeline.load(folder)
    np.testing.assert_array_equal(np.float32(told["embedding"][0]), encoder.encode_images([tmp_path / "a.png"])[0])
    np.testing.assert_allclose(told["lesion_embedding"].tolist(), encoder.encode_metadata(table), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(told["patient_embedding"].tolist(), encoder.encode_patients(table), rtol=1e-5, atol=1e-6)
    assert [len(nearest) for nearest in told["nearest"]] == [5, 5]
    assert {"known_lesion", "diagnosis", "distance"} == set(told["nearest"][0][0])
    assert set(told["probabilities"][0]) == {"MEL", "NEV"}
    assert sum(told["probabilities"][1].values()) == pytest.approx(1)
    assert told["is_unusual"].dtype == bool


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pd.DataFrame({"path": ["/etc/passwd"]}), "The table needs a column `image`; it has path."),
        (pd.DataFrame(), "The table needs a column `image`; it has none."),
        (pd.DataFrame({"image": []}), "The table has 0 rows: 1 to 256 are read at once."),
        (pd.DataFrame({"image": ["x"] * 257}), "The table has 257 rows: 1 to 256 are read at once."),
        (pd.DataFrame({"image": ["/etc/passwd"]}), "Picture 0: `image` isn't base64"),
        (pd.DataFrame({"image": [encoded(), "aGFsbG8="]}), "Picture 1: not a picture in a format that is read"),
        (
            pd.DataFrame({"image": [None]}, dtype=object),
            "Picture 0: `image` is base64 text of the file's bytes, not None",
        ),
        (pd.DataFrame({"image": [""]}), "Picture 0: `image` is empty"),
        (pd.DataFrame({"image": [encoded()[:60] + "=="]}), "Picture 0:"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(ask, table, reason):
    assert refusal(ask, table).startswith(reason)


def test_a_picture_may_be_no_longer_than_the_limit(ask, monkeypatch):
    monkeypatch.setattr(pyfunc_model, "MAX_BASE64", 40)
    assert "characters of base64, more than the 40 that are read" in refusal(ask, pd.DataFrame({"image": [encoded()]}))


def test_no_file_is_opened_for_a_request(ask):
    ask(pd.DataFrame({"image": [encoded()]}))  # so that all modules are imported
    opened, watching = [], True

    def watch(event, arguments):
        if watching and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)  # can't be taken away again
    for image in (encoded("green"), "/etc/passwd", "file:///etc/passwd", "../secret.png"):
        with suppress(MlflowException):
            ask(pd.DataFrame({"image": [image], "path": ["/etc/passwd"]}))
    watching = False
    assert set(opened) <= {"/proc/self/statm"}  # how much memory there is


@contextmanager
def served(uri: str, tracking: str):
    """`mlflow models serve` on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    source = str(Path(slimp_pipeline.__file__).parents[1])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn is there
    given = os.environ | {"MLFLOW_TRACKING_URI": tracking, "PYTHONPATH": source, "PATH": path}
    server = subprocess.Popen(
        command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, server.stderr.read().decode()[-2000:]
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=30)


def answer(address: str, records: list[dict]) -> tuple[int, dict]:
    body = json.dumps({"dataframe_records": records}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_registered_model_is_served_and_answers_good_and_bad_requests(folder, tmp_path):
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking)
    try:
        mlflow.create_experiment("served", artifact_location=(tmp_path / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("served").experiment_id):
            log_model(folder, "slimp-clinic", "latest-good")
        version = mlflow.MlflowClient().get_model_version_by_alias("slimp-clinic", "latest-good")
        signature = mlflow.models.get_model_info(f"models:/slimp-clinic/{version.version}").signature
    finally:
        mlflow.set_tracking_uri(before)
    assert signature.inputs.input_names()[0] == "image" and "path" not in signature.inputs.input_names()
    assert signature.inputs.required_input_names() == ["image"]
    assert signature.outputs.input_names()[-1] == "probabilities"
    with served("models:/slimp-clinic@latest-good", tracking) as address:
        status, told = answer(
            address, [{"image": encoded(), "diameter_mm": 4, "sex": "female"}, {"image": encoded("red")}]
        )
        assert status == 200
        first, second = told["predictions"]
        assert len(first["embedding"]) == 32 and len(first["nearest"]) == 5
        assert first["lesion_embedding"] != second["lesion_embedding"]
        bad = [{"path": "/etc/passwd"}], [{"image": "/etc/passwd"}], [{"image": encoded(), "diameter_mm": "wide"}], []
        for records in bad:
            status, told = answer(address, records)
            assert 400 <= status < 500, (records, told)
            assert "Traceback" not in told.get("message", "")
