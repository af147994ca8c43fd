"""What happens when a run is asked to stop."""

import contextlib
import os
import signal
import sys

import click
import pytest

from slimp_pipeline.processes.stopping import Stopped, handlers_kept, stop_if_asked, stoppable, unbroken, unstoppable


@pytest.fixture(autouse=True)
def _as_in_the_foreground():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _hook_of_pytest(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


def test_sigterm_unwinds_with_the_shells_exit_code_and_says_one_line(capsys):
    unwound = []
    with pytest.raises(Stopped) as stopped, stoppable("outer"), stoppable("inner"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            unwound.append(True)
    assert stopped.value.code == 143 and unwound
    assert capsys.readouterr().err == "\nstopped: inner\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_ends_a_command_with_130_and_stays_what_it_is_in_a_program_of_ones_own(capsys):
    with pytest.raises(KeyboardInterrupt), stoppable("go on"):
        os.kill(os.getpid(), signal.SIGINT)
    with click.Context(click.Command("run")), pytest.raises(Stopped) as stopped, stoppable("go on"):
        os.kill(os.getpid(), signal.SIGINT)
    assert stopped.value.code == 130
    assert capsys.readouterr().err.count("stopped: go on") == 2


def test_what_fails_because_its_workers_heard_the_signal_first_is_stopped_too():
    with pytest.raises(Stopped) as stopped, stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("DataLoader worker is killed by signal")
    assert stopped.value.code == 143
    with pytest.raises(RuntimeError), stoppable():
        raise RuntimeError("a failure that nobody asked for")


def test_what_signals_dont_reach_stops_when_it_looks():
    stop_if_asked()
    with pytest.raises(Stopped) as stopped, stoppable():
        with contextlib.suppress(Stopped):  # as it is lost in a clean-up
            os.kill(os.getpid(), signal.SIGTERM)
        stop_if_asked()
    assert stopped.value.code == 143


def test_a_signal_that_is_ignored_or_handled_stays_so(monkeypatch):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("own"))
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, hangup)
    assert heard == ["own"]


def test_nobody_interrupts_what_must_be_said_at_the_end():
    with unstoppable():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_waits_until_what_must_not_break_is_done(capsys):
    done = []
    with pytest.raises(Stopped) as stopped, stoppable("go on"), unbroken():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("written")
    assert done and stopped.value.code == 143 and capsys.readouterr().err.count("stopped") == 1
    with pytest.raises(KeyboardInterrupt), unbroken():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("written")
    with pytest.raises(Stopped), stoppable(), unbroken():  # also where it fails
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("full disk")
    assert len(done) == 2 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_a_library_sets_is_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with handlers_kept():
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
