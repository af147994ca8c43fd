"""A local Ray: the weights of our own start, whoever dies or is stopped; and what is told of a cluster's errors."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

os.environ.setdefault(
    "RAY_AUTH_MODE", "token"
)  # read when Ray is imported, which else keeps a token in the home folder
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
ray = pytest.importorskip("ray", reason="Ray isn't installed: pip install -e '.[ray]'")
exceptions = pytest.importorskip("ray.train.v2._internal.exceptions")

from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.train import ControllerError

from slimp_pipeline.models.ranks import RankLost
from slimp_pipeline.processes.stopping import Stopped, stoppable
from slimp_pipeline.training import ray_cluster
from slimp_pipeline.training.checkpoint import load_running
from slimp_pipeline.training.loop import Task, train

pytestmark = pytest.mark.xdist_group("ray")  # one Ray at a time


def processes() -> dict[int, tuple[int, str]]:
    """Number of every process -> its parent's, and its name."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def of_ours() -> dict[int, str]:
    """Number and name of every process that this one, or what it started, has started."""
    there, ours = processes(), {os.getpid()}
    for _ in there:
        ours |= {number for number, (parent, _) in there.items() if parent in ours}
    return {number: there[number][1] for number in ours - {os.getpid()} if number in there}


@pytest.fixture
def go_on(tiny, make_model):
    """Train on, and note what is reported, without what the clock says."""

    def go(settings, folder, reports, at_step=lambda step: None):
        def report(step, values):
            reports.append((step, {name: value for name, value in values.items() if name != "images_per_s"}))
            at_step(step)

        data = tiny.data(0, 7), tiny.data(8, 11)
        return train(Task(make_model(settings), tiny.store, *data, settings, 16, folder, "train"), report)

    return go


def test_the_weights_are_those_of_our_own_start_though_a_worker_is_killed_and_the_run_stopped(
    make_settings, go_on, tmp_path, monkeypatch, caplog
):
    own = make_settings(checkpoint_every_steps=2, num_epochs=5, num_workers=1, devices=2)
    monkeypatch.setattr(ray, "init", partial(ray.init, num_cpus=2))
    killed, expected, reports = [], [], []

    def at_step(step):
        if step == 3 and not killed:
            workers = [number for number, name in of_ours().items() if name.startswith("ray::RayTrainWorker")]
            killed.append(max(number for number in workers if processes()[number][0] not in workers))
            os.kill(killed[0], signal.SIGKILL)
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    weights, course = go_on(own, None, expected)
    folder = tmp_path / "run"
    with caplog.at_level("INFO"), pytest.raises(Stopped), stoppable():
        go_on(own.model_copy(update={"launcher": "ray"}), folder, reports, at_step)
    assert killed and "of 2 of the training" in caplog.text and "was ended, mostly for want of memory" in caplog.text
    assert "Going on from step" in caplog.text and "which is kept" in caplog.text
    kept = load_running(folder).step
    assert 6 <= kept < 10
    assert [name for name in of_ours().values() if "ray::" in name or "raylet" in name or "gcs_server" in name] == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".unfinished")] == []
    assert reports == expected[: len(reports)] and reports[-1][0] == 6  # none twice, none lost
    resumed, ended = go_on(own, folder, [])
    assert all(torch.equal(value, resumed[name]) for name, value in weights.items())
    assert ended.history.values == course.history.values


@pytest.fixture
def small_cluster(monkeypatch) -> Iterator[None]:
    """A Ray that someone else started, with one CPU, where RAY_ADDRESS says."""
    start = "import ray; print(ray.init('local', num_cpus=1, include_dashboard=False).address_info['address']); input()"
    command = [sys.executable, "-c", start]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        monkeypatch.setenv("RAY_ADDRESS", process.stdout.readline().decode().strip())
        yield
        process.communicate(b"\n")


def test_the_cluster_of_ray_address_is_used_and_left_and_must_have_the_devices(
    small_cluster, make_settings, go_on, tmp_path, monkeypatch
):
    settings, reports, expected_reports = make_settings(launcher="ray", num_epochs=1), [], []
    with pytest.raises(ValueError, match="devices 2: the Ray cluster has 1 of the 2 CPUs that they"):
        go_on(settings.model_copy(update={"devices": 2}), None, [])
    monkeypatch.chdir(tmp_path)
    weights, _ = go_on(settings, Path("run"), reports)
    expected, _ = go_on(settings.model_copy(update={"launcher": "processes"}), None, expected_reports)
    assert all(torch.equal(value, weights[name]) for name, value in expected.items())
    assert reports == expected_reports
    assert not [name for name in of_ours().values() if "Train" in name]
    assert not ray.is_initialized()


class Team:
    """Says what it is told to say."""

    settings = type("Settings", (), {"devices": 4})
    folder = Path("/data/running/.unfinished")

    def __init__(self, *messages):
        self._messages = list(messages)

    def messages(self):
        if self._messages:
            yield self._messages.pop(0)


LOSS, VALIDATION = ("report", (1, {"loss": 1.0})), ("report", (1, {"validation_loss": 2.0}))


def test_what_is_taken_again_is_reported_once_and_a_worker_may_die_as_often_as_the_run_comes_further(monkeypatch):
    reports, lost, died = [], ("failed", RankLost("lost")), ("died", "process 2 of 4 was ended")
    further = ("report", (2, {"loss": 0.5}))
    team = Team(LOSS, VALIDATION, lost, died, died, LOSS, VALIDATION, further, died, died, ("ended", None), died)
    ended = ray_cluster._watched(team, lambda *report: reports.append(report))
    assert reports == [LOSS[1], VALIDATION[1], further[1]]
    assert isinstance(ended, ChildProcessError)
    assert "process 2 of 4 was ended; it was so 3 times" in str(ended) and "training.images_per_pass" in str(ended)


def test_an_error_of_a_worker_ends_the_run_in_its_own_words():
    error = KeyError("of the second")
    team = Team(LOSS, ("failed", RankLost("lost")), ("failed", error), ("died", "x"))
    assert ray_cluster._watched(team, lambda *_: None) is error
    assert ray_cluster._watched(Team(("over", None), ("ended", None), ("ended", b"all")), lambda *_: None) == b"all"


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (ActorDiedError(), "process 2 of 2 of the training was ended, mostly for want of memory"),
        (OutOfMemoryError("worker killed"), "process 2 of 2 of the training was ended, by Ray, for the memory"),
    ],
)
def test_the_process_that_died_is_named_rather_than_those_that_lost_it(death, words):
    unhealthy = exceptions.WorkerHealthCheckFailedError("unhealthy", failure=death)
    assert ray_cluster._death({0: RankLost("lost"), 1: unhealthy}, 2).startswith(words)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            OutOfMemoryError("2 worker(s) were killed"),
            ChildProcessError,
            "memory of a machine is full. Set training.sam",
        ),
        (
            ControllerError(exceptions.WorkerGroupStartupTimeoutError(4)),
            TimeoutError,
            "devices 4: only 3 CPUs and 0 GPU",
        ),
        (
            ControllerError(RuntimeError("Unable to set up cluster storage with the following settings")),
            FileNotFoundError,
            "don't all see /data/running: put `data`",
        ),
        (ControllerError(OSError("else")), ChildProcessError, r"Ray ended the training \(OSError: else\)"),
    ],
)
def test_what_ray_itself_ends_is_told_in_words(monkeypatch, error, kind, words):
    monkeypatch.setattr(ray_cluster, "_S_TO_TELL", 0.0)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 3.0})
    with pytest.raises(kind, match=words):
        raise ray_cluster._watched(Team(("over", error)), lambda *_: None)


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        ("timed out", ConnectionError, "no Ray cluster at RAY_ADDRESS=head:6379"),
        ("InvalidAuthToken: missing", PermissionError, "wants a token: set RAY_AUTH_MODE=token"),
    ],
)
def test_a_cluster_that_is_not_there_or_that_knows_us_not_is_named(make_settings, monkeypatch, cause, kind, words):
    def init(*_, **__):
        raise ConnectionError("Failed to connect") from RuntimeError(cause)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    with pytest.raises(kind, match=words):
        ray_cluster.on_ray(print, make_settings(launcher="ray"), lambda *_: None, None)
