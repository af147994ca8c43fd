"""Notes for MLflow wait for a server that is away, in order; the run goes on."""

import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from slimp_pipeline.tracking import notes
from slimp_pipeline.tracking.notes import Notes


class Server:
    """Answers, unless it is away."""

    def __init__(self) -> None:
        self.is_away, self.asked = False, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                self.send_response(503 if outer.is_away else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.made: list[str] = []

    def note(self, text: str):
        def make() -> None:
            if self.is_away:
                raise MlflowException("API request failed")
            self.made.append(text)

        return make


@pytest.fixture
def server(monkeypatch):
    there = Server()
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: f"http://me:secret@127.0.0.1:{there.server.server_port}")
    yield there
    there.server.shutdown()


def test_notes_are_made_at_once_and_nobody_is_asked_whether_the_server_is_there(server):
    run = Notes()
    for text in "ab":
        run.add(server.note(text))
    run.end()
    assert server.made == ["a", "b"] and server.asked == 0


def test_notes_that_a_server_missed_are_made_in_order_once_it_is_back(server, monkeypatch, caplog):
    run = Notes()
    run.add(server.note("a"))
    server.is_away = True
    with caplog.at_level(logging.INFO):
        for text in "bcd":
            run.add(server.note(text))
        assert server.made == ["a"] and server.asked == 1  # it isn't asked at every note
        assert caplog.text.count("has gone (it answers 503") == 1 and "secret" not in caplog.text
        server.is_away = False
        monkeypatch.setattr(notes, "_PAUSE_S", 0)
        run.add(server.note("e"))
    assert server.made == list("abcde") and "is back, and knows what it missed" in caplog.text
    run.end()
    assert server.made == list("abcde")


def test_what_a_server_never_learns_is_said_at_the_end(server, caplog):
    run = Notes()
    server.is_away = True
    run.add(server.note("a"))
    run.end()
    assert "is away still: it lacks the end of this run. All results are kept" in caplog.text and not server.made


def test_notes_that_wait_are_made_at_the_end(server):
    run = Notes()
    server.is_away = True
    run.add(server.note("a"))
    server.is_away = False
    run.add(server.note("b"))
    assert not server.made
    run.end()
    assert server.made == ["a", "b"]


@pytest.mark.parametrize("uri", [None, "sqlite:///mlflow.db"])
def test_what_a_store_that_is_there_refuses_ends_the_run(server, monkeypatch, uri):
    if uri:
        monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)

    def refused() -> None:
        raise MlflowException("changing a parameter isn't allowed")

    with pytest.raises(MlflowException, match="changing a parameter"):
        Notes().add(refused)
