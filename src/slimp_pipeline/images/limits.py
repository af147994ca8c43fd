"""Limits of time and memory for a piece of work within this process, such as the check of one picture."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_MEMORY = Path("/proc/self/statm")  # Linux; in pages, the sixth figure is data and stack
_TICK_S = 0.1
_ANEW_AFTER_S = 1.0


class _OutOfTime(BaseException):
    """Raised by the clock; no `except Exception` of a decoder takes it for damage."""


@dataclass
class _Clock:
    deadline: float = math.inf  # on the monotonic clock
    is_ticking: bool = False

    def tick(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now > self.deadline:
            # Anew later, since an exception that is raised within a destructor is lost; not at once, while a busy
            # machine has yet to let this one be caught.
            self.deadline = now + _ANEW_AFTER_S
            raise _OutOfTime


_clock = _Clock()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the body after a wall-clock time, give or take a tenth of a second.

    It works by SIGALRM, in the main thread only: elsewhere, and on Windows, the body runs without a limit. A call
    into compiled code ends before it is stopped.

    Args:
        seconds: > 0.

    Raises:
        TimeoutError: If the body takes longer.
    """
    if not _is_main_thread():
        yield
        return
    try:
        with nullcontext() if _clock.is_ticking else ticking():
            try:
                _clock.deadline = time.monotonic() + seconds
                yield
            finally:
                _clock.deadline = math.inf
    except _OutOfTime:
        raise TimeoutError(f"it takes longer than {seconds:g} s") from None
    finally:
        _clock.deadline = math.inf


@contextmanager
def ticking() -> Iterator[None]:
    """Keep the clock of `time_limit` going, which would else be started and stopped for every piece of work.

    The handler and timer of SIGALRM are put back afterwards.
    """
    if not _is_main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, _clock.tick)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
    _clock.is_ticking = True
    try:
        yield
    finally:
        _clock.deadline, _clock.is_ticking = math.inf, False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
        if remaining:
            signal.setitimer(signal.ITIMER_REAL, max(remaining - time.monotonic() + started, 1e-3), interval)


@contextmanager
def memory_limit(num_bytes: int) -> Iterator[None]:
    """Let the process take no more memory than it has and `num_bytes`: what asks for more gets a MemoryError.

    It works on Linux and in the main thread only, since it holds for all threads: elsewhere the body runs without a
    limit. The previous limit is put back afterwards.

    Args:
        num_bytes: >= 0.
    """
    if resource is None or not _is_main_thread() or not _MEMORY.is_file():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = int(_MEMORY.read_bytes().split()[5]) * resource.getpagesize() + num_bytes
    if soft != resource.RLIM_INFINITY:
        allowed = min(allowed, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
