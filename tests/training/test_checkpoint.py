"""Running checkpoints."""

import math
import os
import subprocess
import sys

import pytest
import torch

from slimp_pipeline.parameters import ModelParams
from slimp_pipeline.processes.whole import temporary_name
from slimp_pipeline.training import checkpoint
from slimp_pipeline.training.checkpoint import (
    RunningState,
    load_running,
    pack_state,
    running_folder,
    running_key,
    save_running,
    unpack_state,
)
from slimp_pipeline.training.step import build_optimizer


def state_of(step: int) -> RunningState:
    progress = {"best_epoch": step, "best_loss": math.inf}
    return RunningState(step, {"model.a": torch.full((2, 3), float(step))}, progress, 10 * step)


def test_a_run_that_never_was_has_no_checkpoint(tmp_path):
    assert load_running(tmp_path / "nowhere") is None


def test_the_last_checkpoint_comes_back_exactly_and_alone(tmp_path):
    for step in (9, 10, 200):
        save_running(tmp_path / "run", state_of(step))
    back = load_running(tmp_path / "run")
    assert (back.step, back.progress, back.num_history_bytes) == (200, state_of(200).progress, 2000)
    assert torch.equal(back.tensors["model.a"], torch.full((2, 3), 200.0))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["step_000000200"]


def test_a_torn_write_is_not_read_and_is_cleared_by_the_next(tmp_path):
    save_running(tmp_path, state_of(4))
    half = temporary_name(tmp_path / "step_000000006")
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    dead = half.with_name(half.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-"))
    half.rename(dead)
    assert load_running(tmp_path).step == 4
    save_running(tmp_path, state_of(6))
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000006"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("state.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-5])),
        ("state.safetensors", lambda path: path.unlink()),
        ("progress.json", lambda path: path.write_text('{"progress": {"best')),
        ("progress.json", lambda path: path.write_text('{"progress": {}, "of_another": 1}')),
    ],
    ids=["truncated weights", "absent weights", "half a text", "another text"],
)
def test_a_damaged_checkpoint_is_named_with_the_command_that_begins_anew(tmp_path, name, damage):
    save_running(tmp_path / "run", state_of(4))
    damage(tmp_path / "run" / "step_000000004" / name)
    with pytest.raises(ValueError, match="is damaged: step_000000004 can't be read") as refused:
        load_running(tmp_path / "run")
    assert f"delete it (rm -r {tmp_path / 'run'}): this training then begins anew" in str(refused.value)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    "broken", ["slimp_pipeline.training.checkpoint.save_file", "slimp_pipeline.processes.whole.os.replace"]
)
def test_a_write_that_fails_leaves_the_previous_checkpoint(tmp_path, monkeypatch, broken):
    save_running(tmp_path, state_of(4))

    def full_disk(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk is full"):
        patch.setattr(broken, full_disk)
        save_running(tmp_path, state_of(6))
    assert load_running(tmp_path).step == 4


def test_the_newest_of_two_whole_checkpoints_is_read(tmp_path):
    save_running(tmp_path / "a", state_of(9))
    save_running(tmp_path / "b", state_of(10))
    (tmp_path / "a" / "step_000000009").rename(tmp_path / "b" / "step_000000009")
    assert load_running(tmp_path / "b").step == 10


def test_model_optimiser_and_best_weights_come_back_bit_for_bit(make_model, make_settings):
    model = make_model(make_settings())
    optimizer = build_optimizer(model, make_settings())
    sum(p.pow(2).sum() for p in model.parameters()).backward()
    optimizer.step()
    best = {name: value + 1 for name, value in model.state_dict().items()}
    tensors = pack_state(model, optimizer, best)
    other = make_model(make_settings(), seed=5)
    other_optimizer = build_optimizer(other, make_settings())
    best_back = unpack_state(tensors, other, other_optimizer)
    again = pack_state(other, other_optimizer, best_back)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], value) for name, value in tensors.items())
    assert unpack_state(pack_state(model, optimizer, None), other, other_optimizer) is None


def test_the_key_of_a_run_changes_with_its_settings_data_and_code(make_settings, tmp_path, monkeypatch):
    def key(settings=None, fingerprint="f", images=("a", "b")):
        return running_key(settings or make_settings(), ModelParams(), fingerprint, list(images))

    first = key()
    assert first == key()
    changed = [key(make_settings(learning_rate=1e-3)), key(fingerprint="g"), key(images=("a",))]
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "loop.py").write_text("other code")
    monkeypatch.setattr(checkpoint.slimp_pipeline, "__file__", str(tmp_path / "__init__.py"))
    assert len({first, *changed, key()}) == 5


def test_a_finished_training_is_uploaded_and_found_by_another_machine(s3, tmp_path, monkeypatch):
    root = f"{s3.url}/running"
    with running_folder(root, "key") as folder:
        save_running(folder, RunningState(3, {"model.a": torch.ones(2)}, {}))
    assert {"running/key/step_000000003/state.safetensors", "running/key.files.json"} < s3.sizes().keys()
    monkeypatch.setenv("SLIMP_CACHE", str(tmp_path / "other_cache"))
    with running_folder(root, "key") as there:
        assert there != folder and load_running(there).step == 3


def test_a_training_that_is_stopped_stays_on_its_machine(s3):
    with pytest.raises(KeyboardInterrupt), running_folder(f"{s3.url}/running", "key") as folder:
        save_running(folder, RunningState(3, {"model.a": torch.ones(2)}, {}))
        raise KeyboardInterrupt
    assert not s3.sizes() and load_running(folder).step == 3


def test_running_checkpoints_of_a_folder_lie_in_it(tmp_path):
    with running_folder(tmp_path, "key") as folder, running_folder(None, "key") as none:
        assert folder == tmp_path / "key" and none is None
