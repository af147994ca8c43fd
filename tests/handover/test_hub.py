"""A push, to a server on loopback that speaks the hub's API."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, constants

from slimp_pipeline.handover import hub
from slimp_pipeline.handover.exported import files_of
from slimp_pipeline.handover.hub import push_to_hub

REPO = "clinic/encoder"


class Hub(BaseHTTPRequestHandler):
    """Takes every file with the commit itself; its answers are set on the server."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        self.server.asked.append((path, self.headers.get("Authorization")))
        if self.server.refuses:
            return self._answer(self.server.refuses, {"error": "no"})
        if path == "/api/repos/create":
            self.server.created = json.loads(body)
            return self._answer(200, {"url": f"{self.server.address}/{REPO}", "id": REPO})
        if path == "/api/validate-yaml":  # the head of the model card
            return self._answer(200, {"errors": [], "warnings": []})
        if path.endswith("/preupload/main"):
            files = [f | {"uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]
            return self._answer(200, {"files": files})
        if path.endswith("/commit/main"):
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                if entry["key"] == "deletedFile":
                    del self.server.files[entry["value"]["path"]]
            self.server.num_commits += 1
            commit = {"commitUrl": f"{self.server.address}/{REPO}/commit/1", "commitOid": "1", "success": True}
            return self._answer(200, commit | {"hookOutput": ""})
        return self._answer(404, {"error": path})

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.asked.append((path, self.headers.get("Authorization")))
        if "/tree/" in path:
            return self._answer(200, [{"type": "file", "path": n, "size": 1, "oid": n} for n in self.server.files])
        return self._answer(200, {"id": REPO, "siblings": [], "sha": "0", "private": True})

    def _answer(self, status, told):
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def at(monkeypatch, address):
    """As HF_ENDPOINT does, which is read once."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(hub, "HfApi", lambda token: HfApi(endpoint=address, token=token))


@pytest.fixture
def server(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.files, server.created, server.refuses, server.num_commits = [], {}, None, None, 0
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    at(monkeypatch, server.address)
    yield server
    server.shutdown()


def test_the_files_are_pushed_but_known_lesions(server, make_export):
    folder = make_export()
    assert push_to_hub(folder, REPO, private=True, with_known=False) == f"{server.address}/{REPO}"
    expected = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("known")}
    assert server.files == expected
    assert server.created["visibility"] == "private"
    assert {token for _, token in server.asked} == {"Bearer hf_secret"}


def test_known_lesions_go_along_where_they_are_asked_for(server, make_export):
    folder = make_export()
    push_to_hub(folder, REPO, private=False, with_known=True)
    assert set(server.files) == {path.name for path in folder.iterdir()}
    assert server.created["visibility"] == "public"


def test_a_push_takes_away_what_an_earlier_one_left_and_nothing_of_others(server, make_export):
    server.files = {".gitattributes": b"", "notes/classifier.json": b"mine", "LICENSE": b"mine"}
    others = set(server.files)
    first = make_export(onnx=True)
    push_to_hub(first, REPO, private=True, with_known=True)
    assert set(server.files) == others | {path.name for path in first.iterdir()}
    push_to_hub(first, REPO, private=True, with_known=False)
    assert set(server.files) == others | {path.name for path in files_of(first, with_known=False)}
    second = make_export("retrained", with_evaluation=False)
    push_to_hub(second, REPO, private=True, with_known=False)
    assert set(server.files) == others | {path.name for path in second.iterdir()}
    assert server.num_commits == 3


def test_without_a_token_nothing_is_asked(server, make_export, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(
        PermissionError, match=r"export\.hub: to push to clinic/encoder a token is needed\. Set .* HF_TOKEN"
    ):
        push_to_hub(make_export(), REPO, private=True, with_known=False)
    assert not server.asked


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (401, PermissionError, r"refuses clinic/encoder \(401\): has HF_TOKEN the right to write\?"),
        (403, PermissionError, r"refuses clinic/encoder \(403\)"),
        (404, ConnectionError, r"answered 404 to a push to clinic/encoder"),
    ],
)
def test_a_refusal_says_what_to_look_at_and_not_the_token(server, make_export, status, error, reason):
    server.refuses = status
    with pytest.raises(error, match=reason) as caught:
        push_to_hub(make_export(), REPO, private=True, with_known=False)
    assert "hf_secret" not in str(caught.value)
    assert not server.files


def test_a_hub_that_is_away_is_said_to_be(server, make_export, monkeypatch):
    at(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"export\.hub: http://127\.0\.0\.1:9 can't be reached"):
        push_to_hub(make_export(), REPO, private=True, with_known=False)
