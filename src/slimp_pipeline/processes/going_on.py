"""Runs that go on in a data folder: each leaves a mark there, and what must be alone looks for marks.

A mark names its process, so that one of a killed run can be told. It is set under a lock, which whoever is alone holds:
a run that begins meanwhile waits for its end.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from slimp_pipeline.processes.process import Process
from slimp_pipeline.processes.whole import held, remove, temporary_name

logger = logging.getLogger(__name__)
_MARK = ".going-on-"
_LOCK = ".going-on.lock"


class _Own(threading.local):
    stack: ExitStack | None = None


_own = _Own()


@contextmanager
def going_on() -> Iterator[None]:
    """Surround a run: what it marks by `begin` or `begin_alone` ends with it, however it ends."""
    before = _own.stack
    with ExitStack() as stack:
        _own.stack = stack
        try:
            yield
        finally:
            _own.stack = before


def begin(data: Path) -> None:
    """Mark a run that goes on in a data folder; wait while another one is alone there."""
    if _own.stack is None:  # nobody would take the mark away
        return
    with held(data / _LOCK, "beginning a run"):
        _own.stack.enter_context(_marked(data))


def begin_alone(data: Path, doing: str) -> None:
    """Be alone in a data folder until the run ends.

    Args:
        data: The folder.
        doing: What is done meanwhile, for those who wait.

    Raises:
        ValueError: If another run goes on there; names it.
    """
    if _own.stack is None:
        raise RuntimeError("only within a run")
    _own.stack.enter_context(held(data / _LOCK, doing))
    for mark in sorted(data.glob(f"{_MARK}*")):
        process = Process.from_text(_text(mark))
        if process and process.is_gone():
            remove(mark)
        elif process or mark.exists():
            who = _in_words(process) if process else "another run"
            raise ValueError(
                f"{who} is running a pipeline in {data}, which may need what would be removed: nothing was. Wait for "
                f"its end, then run again. If that machine runs it no more, remove {mark}"
            )


def _in_words(process: Process) -> str:
    where = "this machine" if process.host == Process.own().host else "another machine"
    return f"process {process.number} on {where}"


@contextmanager
def _marked(data: Path) -> Iterator[None]:
    mark = data / temporary_name(data / "run").name.replace(".unfinished-", _MARK, 1)
    mark.write_text(Process.own().as_text(), encoding="utf-8")
    try:
        yield
    finally:
        remove(mark)


def _text(mark: Path) -> str:
    try:
        return mark.read_text(encoding="utf-8")
    except OSError:
        return ""
