"""What must be alone in a data folder waits for nobody: it is refused while a run goes on; a run waits for it."""

import threading
from dataclasses import replace

import pytest

from slimp_pipeline.processes.going_on import begin, begin_alone, going_on
from slimp_pipeline.processes.process import Process


def marks(data):
    return list(data.glob(".going-on-*"))


def test_a_run_is_marked_until_it_ends_however_it_ends(tmp_path):
    with pytest.raises(KeyboardInterrupt), going_on():
        begin(tmp_path)
        assert len(marks(tmp_path)) == 1
        raise KeyboardInterrupt
    assert not marks(tmp_path)


def test_while_a_run_goes_on_nobody_may_be_alone_and_its_process_is_named(tmp_path):
    def alone():
        with going_on():
            begin_alone(tmp_path, "pruning")

    with going_on():
        begin(tmp_path)
        with pytest.raises(
            ValueError, match=rf"process {Process.own().number} on this machine .* nothing was. Wait for its end"
        ):
            alone()
    alone()


def test_the_mark_of_a_killed_run_holds_nobody_up(tmp_path):
    mark = tmp_path / ".going-on-host-1-1-run"
    mark.write_text(replace(Process.own(), started="1").as_text())
    with going_on():
        begin_alone(tmp_path, "pruning")
    assert not mark.exists()


def test_a_mark_that_says_nothing_counts_as_a_run(tmp_path):
    (tmp_path / ".going-on-host-1-1-run").write_text("")
    with going_on(), pytest.raises(ValueError, match="another run is running a pipeline"):
        begin_alone(tmp_path, "pruning")


def test_a_run_that_begins_meanwhile_waits(tmp_path):
    begun = threading.Event()

    def run():
        with going_on():
            begin(tmp_path)
            begun.set()

    thread = threading.Thread(target=run)
    with going_on():
        begin_alone(tmp_path, "pruning")
        thread.start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    thread.join()
