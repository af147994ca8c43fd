"""Several devices of one machine: a process for each, which this one starts, watches and ends."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from slimp_pipeline.models.ranks import RankLost, Ranks
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.processes.stopping import ask_to_stop, unstoppable
from slimp_pipeline.training.device import pick_device
from slimp_pipeline.training.messages import TAKE_LESS, Message, read, work_and_tell

Result = TypeVar("Result")
Report = Callable[[int, dict[str, float]], None]
SLOWEST_EXCHANGE = timedelta(hours=1)  # others wait while the first process validates and writes checkpoints
_S_TO_TELL = 5.0  # who lost the others waits so long for one of them to tell why
_S_BETWEEN_LOOKS = 0.2


def on_devices(work: Callable[[Ranks, Report], Result], settings: TrainingParams, report: Report) -> Result:
    """Do work in as many processes as there shall be devices, connected to one another; needs no launcher.

    Signals reach this process alone. It asks the first process to stop, which finishes the step that all are in and
    keeps it; the others end with it. If this process is killed, all end at once.

    Args:
        work: Called in each process with its number and, in the first, with `report`. It is sent to them: it must be a
            function of a module, or a partial of one.
        settings: Which devices, and how many.
        report: Called here as the first process reports.

    Returns:
        What the first process does.

    Raises:
        ChildProcessError: If a process was killed, or crashed.
        BaseException: Whatever one of them raised.
    """
    # Sent as bytes: torch would let the processes share the memory of its tensors, and each changes the weights.
    sent = pickle.dumps(work)
    context, team = _fork_server(), list[_Member]()
    with tempfile.TemporaryDirectory(prefix="slimp-") as folder:
        try:
            for rank in range(settings.devices):
                team.append(_start(context, rank, settings, Path(folder) / "meeting", sent))
            ended = _watched(team, report)
        except BaseException:  # a signal, say
            _let_keep(team)
            raise
        finally:
            for member in team:
                member.end()
    if isinstance(ended, BaseException):
        raise ended
    return pickle.loads(ended)


@dataclass
class _Member:
    """A process of the team."""

    process: BaseProcess
    connection: Connection
    has_told: bool = False  # how it ended

    def end(self) -> None:
        """End it, and its input workers, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # type: ignore[arg-type]  # it was started
        self.process.kill()  # that has no group of its own yet
        self.process.join()
        self.connection.close()

    def messages(self) -> Iterator[Message]:
        """What it has said since, in order."""
        with contextlib.suppress(EOFError, OSError):
            while self.connection.poll():
                if message := read(self.connection.recv_bytes()):
                    self.has_told |= message[0] in ("ended", "failed")
                    yield message


def _fork_server() -> multiprocessing.context.ForkServerContext:
    """A process that has imported all that the others need, and has touched neither threads nor CUDA: they fork of it.

    It outlives signals that are sent to all, so that the step can be finished, but not this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["slimp_pipeline.training.loop"])
    with unstoppable():
        forkserver.ensure_running()
    return context


def _start(
    context: multiprocessing.context.ForkServerContext, rank: int, settings: TrainingParams, meeting: Path, sent: bytes
) -> _Member:
    kind = pick_device(settings.device).type
    threads = max(1, torch.get_num_threads() // settings.devices)
    ours, theirs = context.Pipe()
    how = multiprocessing.get_start_method()  # of input workers: as where there is one device
    arguments = Ranks(rank, settings.devices), kind, threads, how, meeting, sent, theirs
    name = f"device {rank + 1} of {settings.devices}"
    process = context.Process(target=_work, args=arguments, name=name, daemon=False)  # it may have input workers
    process.start()
    theirs.close()
    return _Member(process, ours)


def _watched(team: list[_Member], report: Report) -> bytes | BaseException:
    """Wait for what the first process returns, still pickled, or for what ends the team."""
    lost: BaseException | None = None
    patience = float("inf")
    while True:
        wait([member.connection for member in team if not member.has_told], timeout=_S_BETWEEN_LOOKS)
        for rank, member in enumerate(team):
            is_over = member.process.exitcode is not None  # looked at first: then all that it said is there
            for kind, content in member.messages():
                if kind == "report":
                    report(*content)
                elif kind == "failed" and not isinstance(content, RankLost):
                    return content
                elif kind == "failed" and lost is None:
                    lost, patience = content, time.monotonic() + _S_TO_TELL
                elif kind == "ended" and rank == 0:
                    return content
            if is_over and not member.has_told:
                return _gone(rank, len(team), member.process.exitcode)
        if lost and time.monotonic() > patience:
            return lost


def _let_keep(team: list[_Member]) -> None:
    """Ask the first process to stop, and wait until it has kept its last step."""
    if not team or team[0].has_told:
        return
    first = team[0]
    with contextlib.suppress(OSError):
        first.connection.send_bytes(b"stop")
    while first.process.exitcode is None and not first.has_told and all(m.process.exitcode is None for m in team):
        wait([first.connection], timeout=_S_BETWEEN_LOOKS)
        for _ in first.messages():
            pass


def _gone(rank: int, count: int, code: int | None) -> ChildProcessError:
    why = f"by {signal.Signals(-code).name}" if code and code < 0 else f"with exit code {code}"
    return ChildProcessError(
        f"process {rank + 1} of {count} of the training was ended {why}, mostly for want of memory. {TAKE_LESS}"
    )


def _work(
    ranks: Ranks, device: str, threads: int, how: str, meeting: Path, sent: bytes, connection: Connection
) -> None:
    """Be one of the processes."""
    os.setpgrp()  # with its input workers, so that they end together
    multiprocessing.set_start_method(how, force=True)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to all: the parent hears them, too, and asks
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_heed, args=(connection,), daemon=True).start()

    def send(message: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.send_bytes(message)

    def prepare() -> None:
        if device == "cuda":
            torch.cuda.set_device(ranks.rank)
        else:
            torch.set_num_threads(threads)
        _meet(ranks, device, meeting)

    if work_and_tell(sent, ranks, send, prepare):
        raise SystemExit(1)


def _meet(ranks: Ranks, device: str, meeting: Path) -> None:
    """Connect the processes, over this machine's own loopback."""
    for name, value in loopback().items():
        os.environ.setdefault(name, value)
    store = dist.FileStore(str(meeting), ranks.count)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=store,
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=SLOWEST_EXCHANGE,
    )


def loopback() -> dict[str, str]:
    """Variables by which the processes of one machine connect over its own loopback."""
    name = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    return {f"{library}_SOCKET_IFNAME": name for library in ("GLOO", "NCCL")} if name else {}


def _heed(connection: Connection) -> None:
    """Stop when asked to; end at once when whoever started this is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while connection in wait([parent.sentinel, connection]):
        try:
            connection.recv_bytes()
        except (EOFError, OSError):
            break
        ask_to_stop()
    os.killpg(os.getpid(), signal.SIGKILL)
