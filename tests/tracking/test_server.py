"""MLflow's server."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from slimp_pipeline.tracking import server
from slimp_pipeline.tracking.server import require_answer


class Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    there = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=there.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{there.server_port}"
    there.shutdown()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_server_that_answers_whatever_is_there(answering, monkeypatch, status):
    monkeypatch.setattr(Answers, "status", status)
    require_answer(answering)


def test_a_gateway_without_its_server_is_away(answering, monkeypatch):
    monkeypatch.setattr(Answers, "status", 503)
    with pytest.raises(ConnectionError, match=r"isn't there \(it answers 503 Service Unavailable\)"):
        require_answer(answering)


def test_a_server_that_is_away_is_said_to_be_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(
        ConnectionError,
        match=rf"the MLflow server http://127.0.0.1:{port} isn't there \(Connection refused\)\. .*unset",
    ):
        require_answer(f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_isnt_waited_for(monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ConnectionError, match=r"no answer within 1 seconds|it doesn't answer"):
            require_answer(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - began < 5


def test_the_password_of_an_address_isnt_said():
    with pytest.raises(ConnectionError) as away:
        require_answer("http://me:secret@127.0.0.1:9")
    assert "secret" not in str(away.value)
