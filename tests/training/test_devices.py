"""Several devices: loss and gradient of one, one weight in all, and an end that is told."""

import multiprocessing
import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from slimp_pipeline.models.ranks import ALONE, RankLost
from slimp_pipeline.processes.stopping import Stopped, stoppable
from slimp_pipeline.training.checkpoint import load_running
from slimp_pipeline.training.device import require_devices
from slimp_pipeline.training.devices import on_devices
from slimp_pipeline.training.loop import Task, train

sys.path.append(str(Path(__file__).parent))  # for spawned processes, too
from in_processes import Given, every_case, fails_in_the_second, in_each, with_three_levels


def of_devices():
    """The processes that train, by rank; other tests of this process may have left some of their own."""
    there = [process for process in multiprocessing.active_children() if process.name.startswith("device ")]
    return sorted(there, key=lambda process: process.name)


@pytest.mark.parametrize("count", [2, 4])
def test_loss_and_gradients_of_several_processes_are_those_of_one(tiny, make_settings, model_settings, count):
    settings, reports = make_settings(devices=count), []
    data = {number: tiny.data(0, number - 1) for number in range(5, 11)}
    given = Given(tiny.store, tiny.encoding, data, settings, model_settings)
    found = on_devices(partial(in_each, given), settings, lambda step, values: reports.append((step, values)))
    assert reports == [(1, {"threads": 1.0})]
    assert len(found) == 11
    the_same(found, every_case(given, ALONE))


def the_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for case, (values, gradients) in expected.items():
        torch.testing.assert_close(
            found[case][0], values, rtol=1e-5, atol=1e-6, msg=lambda text, c=case: f"{c}: {text}"
        )
        assert found[case][1].keys() == gradients.keys()
        for name, value in gradients.items():
            torch.testing.assert_close(
                found[case][1][name], value, rtol=1e-4, atol=1e-6, msg=lambda text, c=(case, name): f"{c}: {text}"
            )


@pytest.mark.parametrize("count", [2, 3])
def test_so_they_are_where_pictures_have_a_level_of_their_own(tiny_of_three, make_settings, model_settings, count):
    cases = [("slimp", "gated_attention", None), ("flat", "mean", None), ("inner_only", "mean", 2)]
    data = {number: tiny_of_three.data(0, number - 1) for number in range(5, 11)}
    settings = make_settings(devices=count)
    given = Given(tiny_of_three.store, tiny_of_three.encoding, data, settings, model_settings)
    found = on_devices(partial(with_three_levels, given, cases), settings, lambda *_: None)
    the_same(found, every_case(given, ALONE, cases))


def test_an_error_in_one_process_ends_all_with_its_own_words(make_settings):
    with pytest.raises(KeyError, match="of the second") as caught:
        on_devices(fails_in_the_second, make_settings(devices=2), lambda *_: None)
    assert "fails_in_the_second" in caught.value.__notes__[0]
    assert not isinstance(caught.value, RankLost)
    assert not of_devices()


def test_more_devices_than_there_are_are_refused(tiny, make_model, make_settings, monkeypatch):
    def start(**changes):
        settings = make_settings(**changes)
        task = Task(make_model(settings), tiny.store, tiny.data(), None, settings, 16, None, "tiny")
        train(task, lambda *_: None)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"training\.devices 3: this machine has 2 cuda devices\. Set .* to 2 or less"):
        start(device="cuda", devices=3)
    require_devices(make_settings(device="cuda", devices=2))
    with pytest.raises(ValueError, match=r"there are batches of 4 patients, .* Take fewer devices, or more patients"):
        start(devices=5)


def test_a_training_on_two_devices_survives_a_killed_process_and_a_signal(
    tiny, make_model, make_settings, tmp_path, caplog
):
    """Killed on two devices, asked to stop on two, ended on one: the weights are those of one device throughout."""
    one = make_settings(checkpoint_every_steps=2, num_epochs=4, num_workers=1)
    two = one.model_copy(update={"devices": 2})

    def go_on(settings, folder, at_step=lambda step: None):
        data = tiny.data(0, 7), tiny.data(8, 11)
        task = Task(make_model(settings), tiny.store, *data, settings, 16, folder, "tiny")
        return train(task, lambda step, _: at_step(step))

    def kill_one(step):
        if step == 3:
            os.kill(of_devices()[1].pid, signal.SIGKILL)

    def ask(step):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    weights, course = go_on(one, None)
    with pytest.raises(ChildProcessError, match=r"process 2 of 2 .* ended by SIGKILL.* goes on from the last checkp"):
        go_on(two, tmp_path, kill_one)
    kept = load_running(tmp_path).step
    assert kept in (2, 4, 6)
    with caplog.at_level("INFO"), pytest.raises(Stopped), stoppable():
        go_on(two, tmp_path, ask)
    assert f"Going on from step {kept}" in caplog.text and "which is kept" in caplog.text
    assert load_running(tmp_path).step >= 5
    resumed, ended = go_on(one, tmp_path)
    assert not of_devices()
    for name, value in weights.items():
        if name.endswith("in_proj_bias") or name.endswith("qkv.bias"):
            continue  # a key's bias has no gradient but rounding, which Adam makes as large as any
        torch.testing.assert_close(resumed[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}")
    measured, expected = ([v for v in run.history.values if v.name == "loss"] for run in (ended, course))
    assert [v[:3] for v in measured] == [v[:3] for v in expected]
    np.testing.assert_allclose([v.value for v in measured], [v.value for v in expected], rtol=1e-3)
