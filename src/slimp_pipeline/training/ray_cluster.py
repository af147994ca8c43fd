"""Devices of a Ray cluster: Ray Train starts a process for each, and starts all anew where one dies."""

import contextlib
import functools
import logging
import multiprocessing
import os
import pickle
import queue
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # read on import: of what Ray prints we say what matters

import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import OutOfMemoryError, RayError
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig, UserCallback, get_context
from ray.train.torch import TorchConfig, TorchTrainer

from slimp_pipeline.models.ranks import RankLost, Ranks
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.processes.stopping import ask_to_stop, handlers_kept, unbroken
from slimp_pipeline.processes.whole import remove, remove_left_over, temporary_name
from slimp_pipeline.training.devices import SLOWEST_EXCHANGE, loopback
from slimp_pipeline.training.messages import TAKE_LESS, Message, read, work_and_tell
from slimp_pipeline.training.post import Post

Result = TypeVar("Result")
Report = Callable[[int, dict[str, float]], None]
logger = logging.getLogger(__name__)
_MOST_DEATHS = 3  # without a report in between that is new
_S_BETWEEN_LOOKS = 0.2
_S_TO_CLEAR_UP = 3.0
_S_TO_END = 30.0  # of Ray Train, once the first process has ended
_S_TO_TELL = 2.0  # Ray may know sooner that all have ended than the last message is here


def on_ray(
    work: Callable[[Ranks, Report], Result], settings: TrainingParams, report: Report, running: Path | None
) -> Result:
    """Do work in as many processes of a Ray cluster as there shall be devices, connected to one another.

    The cluster is the one of RAY_ADDRESS; without it, Ray is started on this machine, and ended. Where a process dies,
    Ray ends the others and starts all anew: they go on from what `work` kept, and only what is new is reported.

    Signals reach this process alone. It asks the first process to stop, which finishes the step that all are in and
    keeps it; the others end with it. If this process is killed, Ray ends them.

    Args:
        work: Called in each process with its number and, in the first, with what takes its reports. It is sent to
            them: it must be a function of a module, or a partial of one.
        settings: Which devices, and how many.
        report: Called here as the first process reports.
        running: Folder where `work` keeps its state; Ray looks whether all see the one it lies in. None: there is none.

    Returns:
        What the first process does.

    Raises:
        ValueError: If the cluster has fewer devices.
        ConnectionError: If there is no cluster at RAY_ADDRESS.
        PermissionError: If it wants a token.
        TimeoutError: If others use the devices.
        ChildProcessError: If processes died time and again.
        BaseException: Whatever one of them raised.
    """
    with _connected(), _seen_by_all(running) as folder:
        on_gpu = _require_room(settings)
        team = _Team(pickle.dumps(work), settings, folder, on_gpu=on_gpu)
        try:
            ended = _watched(team, report)
        except BaseException:  # a signal, say
            _let_keep(team)
            raise
        finally:
            team.end()
    if isinstance(ended, BaseException):
        raise ended
    return pickle.loads(ended)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start Ray on this machine; end what runs there for us, and leave.

    A Ray of our own reports to nobody and has no dashboard. Its ports take orders from this user alone (~/.ray).
    """
    address = os.environ.get("RAY_ADDRESS")
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5"}
    own = loopback() | {
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # nobody takes this machine away
        "RAY_worker_niceness": "0",  # as processes of our own start: other work would starve them
    }
    with _environment(quiet if address else quiet | own):
        with unbroken(), handlers_kept():  # Ray sets one of its own for SIGTERM
            try:
                ray.init(
                    address or "local",
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except ConnectionError as error:
                if "InvalidAuthToken" in str(error.__cause__):
                    raise PermissionError(
                        f"the Ray cluster at RAY_ADDRESS={address} wants a token: set RAY_AUTH_MODE=token, and "
                        "RAY_AUTH_TOKEN where ~/.ray/auth_token doesn't hold it"
                    ) from error
                raise ConnectionError(
                    f"there is no Ray cluster at RAY_ADDRESS={address}. Start it (ray start --head), or unset "
                    "RAY_ADDRESS: Ray is then started on this machine."
                ) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Variables for the processes that are started meanwhile, where they aren't set."""
    unset = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _seen_by_all(running: Path | None) -> Iterator[Path]:
    """A folder beside `running` while the training goes on: Ray refuses it where one of the machines doesn't see it."""
    if running is None:
        with tempfile.TemporaryDirectory(prefix="slimp-ray-") as temporary:
            yield Path(temporary)
        return
    folder = temporary_name(running.absolute())
    remove_left_over(folder.parent)
    try:
        yield folder
    finally:
        remove(folder)


def _require_room(settings: TrainingParams) -> bool:
    """Refuse a training for which the cluster is too small, even if nothing else ran there.

    Returns:
        Whether it computes on GPUs.
    """
    there, wanted = ray.cluster_resources(), settings.devices
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and there.get("GPU", 0) > 0)
    for kind in ("GPU", "CPU") if on_gpu else ("CPU",):
        if (count := int(there.get(kind, 0))) < wanted:
            raise ValueError(
                f"training.devices {wanted}: the Ray cluster has {count} of the {wanted} {kind}s that they take. Take "
                "fewer devices, or add machines to the cluster."
            )
        if ray.available_resources().get(kind, 0) < wanted:
            logger.info("Waiting for %d %ss of the Ray cluster: others use them", wanted, kind)
    return on_gpu


class _Team:
    """The processes, which Ray Train runs, and what is heard of them.

    Attributes:
        settings: Which devices, and how many.
        folder: That all machines must see.
        is_at_work: Whether the first process has begun, and not ended.
        has_ended: Whether it has, and Ray Train will presently.
    """

    def __init__(self, sent: bytes, settings: TrainingParams, folder: Path, *, on_gpu: bool) -> None:
        self.settings, self.folder, self.is_at_work, self.has_ended = settings, folder, False, False
        variables = {name: value for name, value in os.environ.items() if name.startswith("RAY_TRAIN_")}
        here = {"num_cpus": 0, "label_selector": {"ray.io/node-id": ray.get_runtime_context().get_node_id()}}
        self._post = ray.remote(Post).options(**here).remote()
        threads, how = torch.get_num_threads(), multiprocessing.get_start_method()
        # A task, for it can be ended at any time, and all that it started ends with it.
        self._training = (
            ray.remote(_train)
            .options(**here, max_retries=0, runtime_env={"env_vars": variables})
            .remote(
                functools.partial(_work, self._post, sent, Path.cwd(), threads, how),
                self._post,
                settings,
                folder,
                on_gpu,
            )
        )
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        # A thread, for only Python's own waiting hears signals as it should: Ray makes other errors of them.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def messages(self) -> Iterator[Message]:
        """What was told since, in order; waits a moment for it."""
        with contextlib.suppress(queue.Empty):
            kind, content = self._heard.get(timeout=_S_BETWEEN_LOOKS)
            if kind != "report":
                self.is_at_work, self.has_ended = kind == "began", kind == "ended"
            yield kind, content

    def ask_to_stop(self) -> None:
        """Ask the first process to stop."""
        ray.get(self._post.ask_to_stop.remote())

    def end(self) -> None:
        """End all at once; on a cluster that stays Ray Train clears up first. What has ended is waited for.

        Ray aborts this process where a task that is just ending is ended by force.
        """
        with contextlib.suppress(RayError):
            is_over = self.has_ended and self._is_over_within(_S_TO_END)
            if not is_over and os.environ.get("RAY_ADDRESS"):
                ray.cancel(self._training)
                is_over = self._is_over_within(_S_TO_CLEAR_UP)
            if not is_over:
                ray.cancel(self._training, force=True)
        ray.kill(self._post)
        self._listener.join()  # no thread may wait for Ray when it is shut down

    def _is_over_within(self, seconds: float) -> bool:
        return bool(ray.wait([self._training], timeout=seconds)[0])

    def _listen(self) -> None:
        waited_for = [self._training]
        with contextlib.suppress(RayError):  # at the end
            while True:
                waited_for.insert(0, coming := self._post.take.remote())
                while coming in waited_for:
                    for ready in ray.wait(waited_for)[0]:
                        waited_for.remove(ready)
                        if message := read(ray.get(ready)) if ready is coming else ("over", _error_of(ready)):
                            self._heard.put(message)


def _train(work: Callable[[], None], post: ActorHandle, settings: TrainingParams, folder: Path, on_gpu: bool) -> None:
    """Let Ray Train run the processes, and start them anew as often as one dies."""
    TorchTrainer(
        work,
        scaling_config=ScalingConfig(num_workers=settings.devices, use_gpu=on_gpu),
        torch_config=TorchConfig(timeout_s=int(SLOWEST_EXCHANGE.total_seconds())),
        run_config=RunConfig(
            name="ray",
            storage_path=str(folder),
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=0),
            callbacks=[_TellsOfDeaths(post)],
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    ).fit()


def _error_of(task: ray.ObjectRef) -> BaseException | None:
    try:
        ray.get(task)
    except RayError as error:
        return getattr(error, "cause", error)
    return None


def _watched(team: _Team, report: Report) -> bytes | BaseException:
    """Wait for what the first process returns, still pickled, or for what ends the team."""
    reported = set[tuple[int, frozenset[str]]]()
    num_deaths, over, patience = 0, None, float("inf")
    while True:
        for kind, content in team.messages():
            if kind == "report":
                step, values = content
                if (step, frozenset(values)) not in reported:  # not of steps that are taken again
                    reported.add((step, frozenset(values)))
                    num_deaths = 0
                    report(step, values)
            elif kind in ("ended", "failed") and content is not None and not isinstance(content, RankLost):
                return content
            elif kind == "died":
                num_deaths += 1
                if num_deaths == _MOST_DEATHS:
                    return ChildProcessError(
                        f"{content}; it was so {num_deaths} times without a step in between that was new. {TAKE_LESS}"
                    )
                logger.warning("%s. All are started anew, and go on from the last checkpoint", content)
            elif kind == "over":
                over, patience = content, time.monotonic() + _S_TO_TELL
        if time.monotonic() > patience:
            return _in_words(over, team)


def _let_keep(team: _Team) -> None:
    """Ask the first process to stop, and wait until it has kept its last step."""
    if not team.is_at_work:
        return
    team.ask_to_stop()
    while team.is_at_work:
        for _ in team.messages():
            pass


class _TellsOfDeaths(UserCallback):
    """Tells, from where Ray Train watches the processes, why it starts them anew."""

    def __init__(self, post: ActorHandle) -> None:
        self._post = post

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Tell of the process that died, rather than of those that lost it."""
        count = run_context.scaling_config.num_workers
        self._post.put.remote(pickle.dumps(("died", _death(worker_exceptions, count))))


def _death(errors: dict[int, Exception], count: int) -> str:
    """Which process died, and why: its own error rather than that of those who lost it."""
    rank, error = min(errors.items(), key=lambda item: isinstance(item[1], RankLost))
    error = getattr(error, "health_check_failure", error)
    where = re.search(r"^\s*ip: (\S+)", str(error), re.MULTILINE)
    why = "by Ray, for the memory there is full" if _tells_of_memory(error) else "mostly for want of memory"
    return f"process {rank + 1} of {count} of the training{f' on {where[1]}' if where else ''} was ended, {why}"


def _in_words(error: BaseException | None, team: _Team) -> BaseException:
    """What became of a training that ended without a word of its own."""
    error = getattr(error, "controller_failure", error)
    if _tells_of_memory(error):
        return ChildProcessError(f"Ray ended the training, for the memory of a machine is full. {TAKE_LESS}")
    if "startup timed out" in str(error):
        free = ray.available_resources()
        return TimeoutError(
            f"training.devices {team.settings.devices}: only {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} "
            "GPUs of the Ray cluster are free. Wait until what else runs there has ended, or take fewer devices; "
            "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S is how many seconds to wait (60)."
        )
    if "cluster storage" in str(error):
        return FileNotFoundError(
            f"the machines of the Ray cluster don't all see {team.folder.parent}: put `data` (or, where it is in a "
            "bucket, SLIMP_CACHE) where all do, under one path"
        )
    return ChildProcessError(
        f"Ray ended the training ({type(error).__name__}: {_first_line(error)}). Its logs are in "
        "/tmp/ray/session_latest/logs of each machine. The same command goes on from the last checkpoint."
    )


def _tells_of_memory(error: BaseException | None) -> bool:
    return isinstance(error, OutOfMemoryError) or "running low on memory" in str(error)


def _first_line(error: BaseException | None) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _work(post: ActorHandle, sent: bytes, home: Path, threads: int, how: str) -> None:
    """Be one of the processes."""
    ranks = Ranks(get_context().get_world_rank(), get_context().get_world_size())

    def send(message: bytes) -> None:
        ray.get(post.put.remote(message))  # what is kept after a report is reported, then, whoever dies

    def prepare() -> None:
        if not home.is_dir():
            raise FileNotFoundError(
                f"the project's folder {home} isn't there on {socket.gethostname()}: all machines of the Ray cluster "
                "must see it, and its data, under one path"
            )
        os.chdir(home)  # to which relative paths refer
        multiprocessing.set_start_method(how, force=True)  # of input workers
        torch.set_num_threads(max(1, threads // get_context().get_local_world_size()))
        if ranks.leads:
            send(pickle.dumps(("began", None)))
            threading.Thread(target=_heed, args=(post,), daemon=True).start()

    error = work_and_tell(sent, ranks, send, prepare)
    if isinstance(error, RankLost):
        raise error  # Ray starts all anew; by any other error the run itself ends all


def _heed(post: ActorHandle) -> None:
    """Stop when asked to."""
    with contextlib.suppress(RayError):
        ray.get(post.asked_to_stop.remote())
        ask_to_stop()
