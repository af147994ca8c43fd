"""Limits of time and memory: what exceeds them is stopped, and nothing of them is left behind."""

import contextlib
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimp_pipeline.images.limits import memory_limit, time_limit

IN_PAGES = Path("/proc/self/statm")


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.fixture(autouse=True)
def alarms() -> Iterator[list[int]]:
    """Alarms that another part of the program had set."""
    heard: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda signum, frame: heard.append(signum))
    yield heard
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_what_takes_longer_is_stopped_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"longer than 0.05 s"), time_limit(0.05):
        spin(5)
    assert time.monotonic() - started < 2


def test_a_handler_of_all_errors_within_does_not_swallow_the_stop() -> None:
    with pytest.raises(TimeoutError), time_limit(0.05):
        with contextlib.suppress(Exception):
            spin(5)
        raise AssertionError("not stopped")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_is_lost_in_a_destructor_comes_again() -> None:
    class Slow:
        def __del__(self) -> None:
            spin(0.3)

    with pytest.raises(TimeoutError), time_limit(0.05):
        Slow()
        spin(5)
        raise AssertionError("not stopped")


def test_an_error_within_passes_through() -> None:
    with pytest.raises(KeyError), time_limit(5), memory_limit(10**9):
        raise KeyError


@pytest.mark.parametrize("is_late", [False, True])
def test_handler_and_timer_are_put_back(alarms: list[int], is_late: bool) -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with contextlib.suppress(TimeoutError), time_limit(0.05):
        spin(0.2 if is_late else 0)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    spin(0.1)
    assert alarms == []


def test_a_timer_that_ran_before_rings_afterwards(alarms: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with time_limit(5):
        spin(0.2)
        assert alarms == []
    spin(0.1)
    assert alarms == [signal.SIGALRM]


@pytest.mark.skipif(not IN_PAGES.is_file(), reason="the limit of memory works on Linux alone")
def test_more_memory_is_an_error_and_the_limit_is_put_back() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(100_000_000):
        assert len(bytearray(20_000_000)) == 20_000_000
        with pytest.raises(MemoryError):
            bytearray(8_000_000_000)  # more than this process may keep of what it was given before, and freed
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(bytearray(200_000_000)) == 200_000_000


def test_other_threads_run_without_limits(alarms: list[int]) -> None:
    done = []

    def work() -> None:
        with time_limit(0.01), memory_limit(1_000_000):
            spin(0.1)
            done.append(len(bytearray(50_000_000)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [50_000_000]
    assert alarms == []
