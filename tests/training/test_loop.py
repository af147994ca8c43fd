"""The training loop: it learns, stops, and goes on after a kill as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slimp_pipeline.parameters import AugmentationParams, SamplerParams
from slimp_pipeline.processes.stopping import Stopped, stoppable
from slimp_pipeline.training import step, validation
from slimp_pipeline.training.checkpoint import load_running
from slimp_pipeline.training.loop import Task, train
from slimp_pipeline.training.run import Run
from slimp_pipeline.training.step import TrainingStep


class Killed(BaseException):
    """Stands for a kill at a step."""


def run(tiny, make_model, settings, folder=None, *, validate=True, kill_at=None, weights=None, report=None):
    """Train on patients 0 to 7, hold out 8 to 11; raise Killed when step `kill_at` is about to be taken."""
    model = make_model(settings) if weights is None else weights

    def noted(step, values):
        if report is not None:
            report.append((step, values))
        if kill_at is not None and step >= kill_at:
            raise Killed

    held_out = tiny.data(8, 11) if validate else None
    return train(Task(model, tiny.store, tiny.data(0, 7), held_out, settings, 16, folder, "tiny"), noted)


def same_weights(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def course(run):
    """Everything that a run noted."""
    return run.step, run.progress, run.history.values


def test_the_loss_falls_on_a_cohort_that_can_be_learnt(tiny, make_model, make_settings):
    settings = make_settings(
        num_epochs=30,
        augmentation=AugmentationParams(brightness=0, contrast=0, saturation=0, hue_degrees=0),
        sampler=SamplerParams(patients_per_batch=8, lesions_per_patient=4),
    )
    _, ended = run(tiny, make_model, settings)
    losses = [entry.value for entry in ended.history.values if entry.name == "loss_lesion"]
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])
    accuracy = [e.value for e in ended.history.values if e.name == "validation_lesion_accuracy"]
    assert len(accuracy) == 30


def test_the_history_holds_every_step_and_every_epoch(tiny, make_model, make_settings):
    report = []
    _, ended = run(tiny, make_model, make_settings(), report=report)
    steps = [(e.step, e.epoch) for e in ended.history.values if e.name == "loss"]
    assert steps == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)]
    measured = [(e.step, e.epoch) for e in ended.history.values if e.name == "validation_loss"]
    assert measured == [(2, 1), (4, 2), (6, 3)]
    assert {name for _, values in report for name in values} >= {"loss", "images_per_s", "validation_loss"}


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("kill_at", [1, 2, 3, 5, 6])
def test_a_run_killed_at_any_step_ends_in_the_very_same_weights(
    tiny, make_model, make_settings, tmp_path, kill_at, patience
):
    settings = make_settings(patience_epochs=patience)
    whole, whole_run = run(tiny, make_model, settings)
    with pytest.raises(Killed):
        run(tiny, make_model, settings, tmp_path, kill_at=kill_at)
    torn = tmp_path / ".unfinished-elsewhere-1-1-step_000000099"
    torn.mkdir(parents=True)
    (torn / "state.safetensors").write_bytes(b"torn")
    resumed, ended = run(tiny, make_model, settings, tmp_path)
    assert same_weights(whole, resumed)
    assert course(ended) == course(whole_run)


def test_a_convolutional_run_killed_twice_ends_in_the_very_same_weights(tiny, make_model, make_settings, tmp_path):
    settings = make_settings(num_epochs=2, checkpoint_every_steps=1)
    backbone = {"name": "tf_efficientnet_lite0", "arguments": {"drop_rate": 0.2, "drop_path_rate": 0.2}}

    def model():
        return make_model(settings, image_size=16, num_trained_stages=3, **backbone)

    whole, whole_run = run(tiny, make_model, settings, weights=model())
    for kill_at in (2, 3):
        with pytest.raises(Killed):
            run(tiny, make_model, settings, tmp_path, weights=model(), kill_at=kill_at)
    resumed, ended = run(tiny, make_model, settings, tmp_path, weights=model())
    assert same_weights(whole, resumed)
    assert course(ended) == course(whole_run)


def test_a_run_that_is_over_is_not_trained_again(tiny, make_model, make_settings, tmp_path):
    report = []
    first, ended = run(tiny, make_model, make_settings(), tmp_path)
    again, ended_again = run(tiny, make_model, make_settings(), tmp_path, report=report)
    assert same_weights(first, again)
    assert course(ended) == course(ended_again)
    assert report == []


def stopped_at(monkeypatch, step, signal_number=signal.SIGTERM, *, in_step=lambda: None):
    """Send this process a signal while a step is taken."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    plain = TrainingStep.__call__

    def take(self, number, *batch):
        values = plain(self, number, *batch)
        if number + 1 == step:
            os.kill(os.getpid(), signal_number)
            in_step()
        return values

    monkeypatch.setattr(TrainingStep, "__call__", take)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("every", [1, 1000])
def test_a_run_that_is_stopped_keeps_the_step_it_was_at(
    tiny, make_model, make_settings, monkeypatch, tmp_path, caplog, signal_number, every
):
    settings = make_settings(checkpoint_every_steps=every)
    whole, whole_run = run(tiny, make_model, settings)
    with monkeypatch.context() as patch, pytest.raises((Stopped, KeyboardInterrupt)), stoppable():
        stopped_at(patch, 4, signal_number)
        with caplog.at_level("INFO"):
            run(tiny, make_model, settings, tmp_path)
    assert load_running(tmp_path).step == 4 and "Stopped after step 4, which is kept" in caplog.text
    with caplog.at_level("INFO"):
        resumed, ended = run(tiny, make_model, settings, tmp_path)
    assert "Going on from step 4" in caplog.text
    assert same_weights(whole, resumed) and course(ended) == course(whole_run)


def test_a_step_that_broke_is_not_kept(tiny, make_model, make_settings, monkeypatch, tmp_path):
    def fail():
        raise FloatingPointError("spoilt")

    with monkeypatch.context() as patch, pytest.raises(BaseException), stoppable():  # noqa: B017
        stopped_at(patch, 4, in_step=fail)
        run(tiny, make_model, make_settings(checkpoint_every_steps=3), tmp_path)
    assert load_running(tmp_path).step == 3


def test_a_checkpoint_is_kept_after_so_many_minutes_too(tiny, make_model, make_settings, tmp_path):
    settings = make_settings(checkpoint_every_steps=1000, checkpoint_every_minutes=1e-9)
    with pytest.raises(Killed):
        run(tiny, make_model, settings, tmp_path, kill_at=5)
    assert load_running(tmp_path).step == 4


def test_a_run_may_be_given_in_steps_and_says_how_long_it_is(tiny, make_model, make_settings, caplog):
    whole, _ = run(tiny, make_model, make_settings(num_epochs=2))
    with caplog.at_level("INFO"):
        stepped, ended = run(tiny, make_model, make_settings(num_steps=4, num_epochs=50))
    assert same_weights(whole, stepped) and ended.step == 4
    assert "tiny: 4 steps of about " in caplog.text and "which are 2 epochs of patients" in caplog.text
    _, ended = run(tiny, make_model, make_settings(num_steps=5))
    assert [(e.step, e.epoch) for e in ended.history.values if e.name == "validation_loss"] == [(2, 1), (4, 2), (5, 3)]


def test_an_epoch_of_lesions_sees_every_lesion(tiny, make_model, make_settings):
    sampler = SamplerParams(patients_per_batch=3, lesions_per_patient=1, epoch="lesions")
    data = tiny.data(0, 7)
    _, ended = run(tiny, make_model, make_settings(num_epochs=1, sampler=sampler))
    assert f"each of the {len(data.patient_N)} lesions is seen 1 times on average" in ended.length


def test_values_that_are_read_later_are_the_same(tiny, make_model, make_settings, monkeypatch, tmp_path):
    settings = make_settings(checkpoint_every_steps=4)
    at_once, at_once_report, later_report = run(tiny, make_model, settings)[1], [], []
    run(tiny, make_model, settings, report=at_once_report)
    monkeypatch.setattr("slimp_pipeline.training.run._steps_between_readings", lambda device: 20)
    _, later = run(tiny, make_model, settings, report=later_report)
    assert course(at_once) == course(later)
    assert [(step, set(values)) for step, values in at_once_report] == [(s, set(v)) for s, v in later_report]
    with pytest.raises(Killed):
        run(tiny, make_model, settings, tmp_path, kill_at=5)
    _, resumed = run(tiny, make_model, settings, tmp_path)
    assert course(at_once) == course(resumed)


def spoil_loss(monkeypatch, at_call):
    """Make the loss infinite at one forward pass of the training; returns the losses of all, as they come."""
    plain, calls = step.forward, []

    def broken(*args):
        losses, contrasts = plain(*args)
        calls.append(losses)
        if len(calls) == at_call:
            losses["loss"] = losses["loss"] * float("inf")
        return losses, contrasts

    monkeypatch.setattr(step, "forward", broken)
    return calls


def test_a_gradient_found_later_is_found_before_anything_is_kept(
    tiny, make_model, make_settings, monkeypatch, tmp_path
):
    calls = spoil_loss(monkeypatch, at_call=3)
    monkeypatch.setattr("slimp_pipeline.training.run._steps_between_readings", lambda device: 20)
    settings = make_settings(checkpoint_every_steps=2)
    with pytest.raises(FloatingPointError, match="step 2 "):
        run(tiny, make_model, settings, tmp_path, validate=False)
    assert load_running(tmp_path).step == 2 and len(calls) in (3, 4)


def test_a_run_that_is_gone_on_with_and_has_ended_says_so(tiny, make_model, make_settings, tmp_path, caplog):
    run(tiny, make_model, make_settings(), tmp_path)
    with caplog.at_level("INFO"):
        run(tiny, make_model, make_settings(), tmp_path)
    assert "has ended, at step 6: nothing is left" in caplog.text and "Going on" not in caplog.text


def test_keeping_running_checkpoints_does_not_change_the_weights(tiny, make_model, make_settings, tmp_path):
    without, _ = run(tiny, make_model, make_settings())
    often, _ = run(tiny, make_model, make_settings(checkpoint_every_steps=1), tmp_path)
    assert same_weights(without, often)


def test_workers_do_not_change_the_weights(tiny, make_model, make_settings):
    without, _ = run(tiny, make_model, make_settings(num_epochs=1))
    with_worker, _ = run(tiny, make_model, make_settings(num_epochs=1, num_workers=1))
    assert same_weights(without, with_worker)


def scripted_validation(monkeypatch, losses):
    """Let validation measure these losses, and remember the weights that it saw."""
    seen = []

    def measured(model, held_out, settings, device):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"validation_loss": losses[len(seen) - 1]}

    monkeypatch.setattr("slimp_pipeline.training.loop.validate", measured)
    return seen


def test_early_stopping_keeps_the_weights_of_the_best_epoch(tiny, make_model, make_settings, monkeypatch):
    seen = scripted_validation(monkeypatch, [3.0, 1.0, 2.0, 1.5, 9.0])
    weights, ended = run(tiny, make_model, make_settings(num_epochs=5, patience_epochs=2))
    assert len(seen) == 4
    assert ended.progress.stopped
    assert (ended.progress.best_epoch, ended.progress.best_loss) == (2, 1.0)
    assert same_weights(weights, seen[1])


def test_without_early_stopping_the_last_weights_count(tiny, make_model, make_settings, monkeypatch):
    seen = scripted_validation(monkeypatch, [3.0, 1.0, 2.0])
    weights, ended = run(tiny, make_model, make_settings())
    assert not ended.progress.stopped
    assert ended.progress.best_epoch == 2
    assert same_weights(weights, seen[2])


def test_a_run_that_was_stopped_early_stays_stopped(tiny, make_model, make_settings, monkeypatch, tmp_path):
    seen = scripted_validation(monkeypatch, [1.0, 2.0, 3.0])
    settings = make_settings(patience_epochs=1, checkpoint_every_steps=100)
    first, ended = run(tiny, make_model, settings, tmp_path)
    again, ended_again = run(tiny, make_model, settings, tmp_path)
    assert len(seen) == 2
    assert same_weights(first, again)
    assert course(ended) == course(ended_again)


def test_training_works_without_held_out_patients(tiny, make_model, make_settings):
    weights, ended = run(tiny, make_model, make_settings(patience_epochs=1), validate=False)
    assert {entry.name for entry in ended.history.values} >= {"loss"}
    assert not any(entry.name.startswith("validation") for entry in ended.history.values)
    assert all(value.isfinite().all() for value in weights.values())


def test_validation_reads_no_training_patient_and_training_no_held_out_one(
    tiny, make_model, make_settings, monkeypatch
):
    training, held_out = tiny.data(0, 7), tiny.data(8, 11)
    read = {"training": set(), "validation": set()}
    plain = step.forward

    def spy(model, data, rows, *others):
        read["training" if model.training else "validation"].update(data.store_index_N[rows].tolist())
        return plain(model, data, rows, *others)

    monkeypatch.setattr(step, "forward", spy)
    monkeypatch.setattr(validation, "forward", spy)
    run(tiny, make_model, make_settings())
    assert read["training"] == set(training.store_index_N.tolist())
    assert read["validation"] <= set(held_out.store_index_N.tolist())
    assert len(read["validation"]) >= 4


def test_a_gradient_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tiny, make_model, make_settings, tmp_path, monkeypatch
):
    spoil_loss(monkeypatch, at_call=4)
    with pytest.raises(FloatingPointError, match=r"step 3 \(loss inf; images i\d{4}, .* and \d+ more\)\. Lower"):
        run(tiny, make_model, make_settings(), tmp_path)
    assert load_running(tmp_path).step == 2


SCRIPT = """
import importlib.util, os, signal, sys
from pathlib import Path
import torch

spec = importlib.util.spec_from_file_location("tiny_cohort", sys.argv[1])
cohort = importlib.util.module_from_spec(spec)
sys.modules["tiny_cohort"] = cohort
spec.loader.exec_module(cohort)
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import ModelParams, TrainingParams
from slimp_pipeline.tables.encoding import fit_encoding
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.training.data import patient_lesions
from slimp_pipeline.training.loop import Task, train
from slimp_pipeline.training.run import Run

folder = Path(sys.argv[2])
lesions = cohort.draw_lesions(12)
patients, _ = build_patients(lesions, cohort.FIELDS)
encoding = fit_encoding(lesions, patients, cohort.FIELDS)
store = cohort.write_store(lesions, folder / "store.arrow")
settings = TrainingParams.model_validate_json(sys.argv[3])
torch.manual_seed(0)
model = SLIMP(ModelParams.model_validate_json(sys.argv[4]), settings.loss, encoding)

def report(step, values):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

data = patient_lesions(lesions, patients, encoding)
train(Task(model, store, data, None, settings, 16, folder / "running", "tiny"), report)
"""


def test_a_process_killed_outright_is_gone_on_with_to_the_very_same_weights(
    tiny, make_model, make_settings, model_settings, tmp_path
):
    settings = make_settings()
    (tmp_path / "train.py").write_text(SCRIPT)
    arguments = [Path(__file__).with_name("conftest.py"), tmp_path, settings.model_dump_json()]
    command = [sys.executable, tmp_path / "train.py", *arguments, model_settings.model_dump_json()]
    killed = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name for path in (tmp_path / "running").iterdir()) == ["history.jsonl", "step_000000004"]

    def go_on(folder, steps):
        model = make_model(settings)
        task = Task(model, tiny.store, tiny.data(), None, settings, 16, folder, "tiny")
        return train(task, lambda step, _: steps.append(step))

    all_steps, later_steps = [], []
    whole, whole_run = go_on(None, all_steps)
    resumed, ended = go_on(tmp_path / "running", later_steps)
    assert (all_steps, later_steps) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], [5, 6, 7, 8, 9])
    assert same_weights(whole, resumed)
    assert course(ended) == course(whole_run)


def judged(tiny, make_model, settings, folder=None, *, stop_at=None, report=lambda *_: None):
    """Train with a judge, which measures the temperature; a signal comes while it measures in epoch `stop_at`."""
    asked = []

    def judge(model):
        asked.append(float(next(model.objective.parameters()).detach().sum()))
        if len(asked) == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return {"temperature": asked[-1]}

    task = Task(make_model(settings), tiny.store, tiny.data(0, 7), None, settings, 16, folder, "tiny", judge)
    return train(task, report)


def test_a_judge_measures_after_every_epoch_and_changes_nothing(tiny, make_model, make_settings):
    settings, reported = make_settings(), []
    weights, ended = judged(tiny, make_model, settings, report=lambda *told: reported.append(told))
    assert same_weights(weights, run(tiny, make_model, settings, validate=False)[0])
    found = [value for value in ended.history.values if value.name == "temperature"]
    assert [value.epoch for value in found] == [1, 2, 3]
    told = [values for _, values in reported if "temperature" in values]
    assert [values["epoch"] for values in told] == [1, 2, 3] and [values["is_last"] for values in told] == [0, 0, 1]
    seen = [values["images_seen"] for values in told]
    assert seen == [seen[0], 2 * seen[0], 3 * seen[0]]


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_judgement_that_a_signal_broke_off_is_made_when_the_run_goes_on(
    tiny, make_model, make_settings, tmp_path, stop_at
):
    settings = make_settings(checkpoint_every_steps=1)
    whole = judged(tiny, make_model, settings)
    with pytest.raises(Stopped), stoppable():
        judged(tiny, make_model, settings, tmp_path, stop_at=stop_at)
    weights, ended = judged(tiny, make_model, settings, tmp_path)
    assert same_weights(weights, whole[0]) and course(ended) == course(whole[1])


def test_a_step_that_is_not_judged_yet_is_not_kept(tiny, make_model, make_settings, tmp_path, monkeypatch):
    settings = make_settings(checkpoint_every_steps=100)
    whole = judged(tiny, make_model, settings)

    def dying(self):
        if self.epoch_is_over:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Run, "be_judged_if_due", dying)
        with pytest.raises(Killed):
            judged(tiny, make_model, settings, tmp_path)
    assert load_running(tmp_path) is None
    assert course(judged(tiny, make_model, settings, tmp_path)[1]) == course(whole[1])


def test_a_report_that_ends_the_run_after_a_judgement_keeps_it(tiny, make_model, make_settings, tmp_path):
    def ending(_, values):
        if values.get("epoch") == 2:
            raise Killed

    settings = make_settings(checkpoint_every_steps=100)
    with pytest.raises(Killed):
        judged(tiny, make_model, settings, tmp_path, report=ending)
    assert load_running(tmp_path).step == 2 * 2  # of two steps an epoch
    assert course(judged(tiny, make_model, settings, tmp_path)[1]) == course(judged(tiny, make_model, settings)[1])
