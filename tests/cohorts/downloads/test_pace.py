"""How fast a server is asked."""

import threading
import time

import pytest

from slimp_pipeline.cohorts.downloads.pace import Interrupted, Pace


def test_turns_of_all_threads_together_keep_the_pace():
    pace, times = Pace(50), []

    def ask():
        for _ in range(5):
            pace.turn()
            times.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 20
    assert max(times) - min(times) >= 19 / 50 - 0.01


def test_all_wait_where_the_server_asked_for_it():
    pace = Pace(10_000)
    pace.hold(0.2)
    began = time.monotonic()
    pace.turn()
    assert time.monotonic() - began >= 0.19


def test_who_waits_is_woken_when_the_run_is_stopped():
    pace = Pace(10_000)
    threading.Timer(0.1, pace.stop).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        pace.rest(30)
    assert time.monotonic() - began < 5
    with pytest.raises(Interrupted):
        pace.turn()
    with pytest.raises(Interrupted):
        pace.go_on()
