"""Work that is shared between processes."""

import os
import signal
import time
from pathlib import Path

import pytest

from slimp_pipeline.processes import pool
from slimp_pipeline.processes.pool import end_pool, in_processes


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(pool, "cpu_count", lambda: 2)


def test_results_come_in_the_order_of_the_items():
    assert list(in_processes(str, range(100), fewest=10)) == [str(number) for number in range(100)]


def test_other_processes_work_on_many_items_and_this_one_on_few():
    many, few = (list(in_processes(os.readlink, ["/proc/self"] * number, fewest=10)) for number in (20, 19))
    assert str(os.getpid()) not in many
    assert set(few) == {str(os.getpid())}


def test_nothing_gives_nothing():
    assert list(in_processes(str, [], fewest=10)) == []


def test_whoever_is_stopped_does_not_wait_for_what_is_worked_on():
    def stop(*_: object) -> None:
        raise InterruptedError

    results = in_processes(time.sleep, [0] * 5 + [60] * 35, fewest=1)
    assert next(results) is None
    before, started = signal.signal(signal.SIGALRM, stop), time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(InterruptedError):
            list(results)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 30
    assert list(in_processes(abs, [-1, 2, -3], fewest=1)) == [1, 2, 3]  # others are started


def test_the_processes_can_be_ended_at_once_and_others_take_their_place():
    first = set(in_processes(os.readlink, ["/proc/self"] * 40, fewest=10))
    end_pool()
    assert not any(Path("/proc", number).exists() for number in first)
    assert first.isdisjoint(in_processes(os.readlink, ["/proc/self"] * 40, fewest=10))
    end_pool()
    end_pool()
