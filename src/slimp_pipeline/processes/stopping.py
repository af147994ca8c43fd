"""What happens when a run is asked to stop: it unwinds as after an error, says one line, and tells by its exit code."""

import contextlib
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

import click

_ASKS_TO_STOP = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_asked: list[int] = []


class Stopped(SystemExit):
    """Someone asked the process to end; the exit code is the shell's for that signal."""

    told = False


@contextlib.contextmanager
def stoppable(how_to_go_on: str = "") -> Iterator[None]:
    """Turn SIGTERM into `Stopped`, and, in a command, Ctrl-C too: click would end it with an exit code of its own.

    Args:
        how_to_go_on: Said once on the way out; nothing is where it is empty.

    Raises:
        Stopped: With exit code 143, or 130 after Ctrl-C.
        KeyboardInterrupt: After Ctrl-C in a notebook or a program of one's own, which goes on.
    """
    try:
        with _heeded():
            yield
    except Stopped as stopped:
        raise _said(stopped, how_to_go_on) from None
    except KeyboardInterrupt:
        _said(Stopped(), how_to_go_on)
        raise
    except Exception:
        if not was_asked_to_stop():
            raise
        raise _said(Stopped(128 + _asked[0]), how_to_go_on) from None
    finally:
        _asked.clear()


def was_asked_to_stop() -> bool:
    """Whether a signal came: workers that heard it too may have ended first, and failed what waits for them."""
    return bool(_asked)


def ask_to_stop() -> None:
    """Ask this process to stop, as SIGTERM would, but not before it looks (`stop_if_asked`)."""
    _asked.append(signal.SIGTERM)


def stop_if_asked() -> None:
    """End what signals don't reach: another thread or process, or what went on since one came amidst a clean-up.

    Raises:
        Stopped: If a signal came.
    """
    if _asked:
        raise Stopped(128 + _asked[0])


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Let a signal wait until what is done here is done."""
    signals = (signal.SIGINT, *_ASKS_TO_STOP)
    waiting: list[int] = []
    stopping = [number for number in signals if signal.getsignal(number) in (_stop, signal.default_int_handler)]
    try:
        with _handled(stopping, lambda number, _: waiting.append(number)):
            yield
    finally:
        for number in waiting[:1]:
            signal.raise_signal(number)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back what a library, which is called here, sets for itself."""
    with contextlib.ExitStack() as kept:
        for number in (signal.SIGINT, *_ASKS_TO_STOP):
            kept.enter_context(_handled([number], signal.getsignal(number)))
        yield


@contextlib.contextmanager
def unstoppable() -> Iterator[None]:
    """Let nobody interrupt what must be said at the end: an impatient second Ctrl-C comes soon."""
    with _handled((signal.SIGINT, *_ASKS_TO_STOP), signal.SIG_IGN):
        yield


def _heeded() -> contextlib.AbstractContextManager[None]:
    """Where a program has its own way to end, or ignores a signal, as under nohup, that stays."""
    _asked.clear()
    unset = [number for number in _ASKS_TO_STOP if signal.getsignal(number) is signal.SIG_DFL]
    if click.get_current_context(silent=True) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        unset.append(signal.SIGINT)
    return _handled(unset, _stop)


@contextlib.contextmanager
def _handled(signals: Iterable[int], handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _stop(number: int, _: FrameType | None) -> None:
    _asked.append(number)
    sys.unraisablehook = lambda _: None  # workers that ended first fail the clean-up, too
    raise Stopped(128 + number)


def _said(stopped: Stopped, how_to_go_on: str) -> Stopped:
    """Say it, unless an inner run has, or the parent will."""
    if how_to_go_on and not stopped.told and multiprocessing.parent_process() is None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"\nstopped: {how_to_go_on}", file=sys.stderr, flush=True)
        stopped.told = True
    return stopped
