"""The training loop: it learns, stops, and goes on after a kill as if nothing had happened."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slimp_pipeline.parameters import AugmentationParams, SamplerParams
from slimp_pipeline.training import step, validation
from slimp_pipeline.training.loop import train


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

    return train(
        model, tiny.store, tiny.data(0, 7), tiny.data(8, 11) if validate else None, settings, 16, noted, folder
    )


def same_weights(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_loss_falls_on_a_cohort_that_can_be_learnt(tiny, make_model, make_settings):
    settings = make_settings(
        num_epochs=30,
        augmentation=AugmentationParams(brightness=0, contrast=0, saturation=0, hue_degrees=0),
        sampler=SamplerParams(patients_per_batch=8, lesions_per_patient=4),
    )
    _, progress = run(tiny, make_model, settings)
    losses = [entry["value"] for entry in progress.history if entry["name"] == "loss_lesion"]
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])
    accuracy = [e["value"] for e in progress.history if e["name"] == "validation_lesion_accuracy"]
    assert len(accuracy) == 30


def test_the_history_holds_every_step_and_every_epoch(tiny, make_model, make_settings):
    report = []
    _, progress = run(tiny, make_model, make_settings(), report=report)
    steps = [(e["step"], e["epoch"]) for e in progress.history if e["name"] == "loss"]
    assert steps == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)]
    measured = [(e["step"], e["epoch"]) for e in progress.history if e["name"] == "validation_loss"]
    assert measured == [(2, 1), (4, 2), (6, 3)]
    assert {name for _, values in report for name in values} >= {"loss", "images_per_s", "validation_loss"}


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("kill_at", [1, 2, 3, 5, 6])
def test_a_run_killed_at_any_step_ends_in_the_very_same_weights(
    tiny, make_model, make_settings, tmp_path, kill_at, patience
):
    settings = make_settings(patience_epochs=patience)
    whole, whole_progress = run(tiny, make_model, settings)
    with pytest.raises(Killed):
        run(tiny, make_model, settings, tmp_path, kill_at=kill_at)
    torn = tmp_path / ".unfinished-elsewhere-1-1-step_000000099"
    torn.mkdir(parents=True)
    (torn / "state.safetensors").write_bytes(b"torn")
    resumed, progress = run(tiny, make_model, settings, tmp_path)
    assert same_weights(whole, resumed)
    assert progress == whole_progress


def test_a_convolutional_run_killed_twice_ends_in_the_very_same_weights(tiny, make_model, make_settings, tmp_path):
    settings = make_settings(num_epochs=2, checkpoint_every_steps=1)
    backbone = {"name": "tf_efficientnet_lite0", "arguments": {"drop_rate": 0.2, "drop_path_rate": 0.2}}

    def model():
        return make_model(settings, image_size=16, num_trained_stages=3, **backbone)

    whole, whole_progress = run(tiny, make_model, settings, weights=model())
    for kill_at in (2, 3):
        with pytest.raises(Killed):
            run(tiny, make_model, settings, tmp_path, weights=model(), kill_at=kill_at)
    resumed, progress = run(tiny, make_model, settings, tmp_path, weights=model())
    assert same_weights(whole, resumed)
    assert progress == whole_progress


def test_a_run_that_is_over_is_not_trained_again(tiny, make_model, make_settings, tmp_path):
    report = []
    first, progress = run(tiny, make_model, make_settings(), tmp_path)
    again, progress_again = run(tiny, make_model, make_settings(), tmp_path, report=report)
    assert same_weights(first, again)
    assert progress == progress_again
    assert report == []


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
    weights, progress = run(tiny, make_model, make_settings(num_epochs=5, patience_epochs=2))
    assert len(seen) == 4
    assert progress.stopped
    assert (progress.best_epoch, progress.best_loss) == (2, 1.0)
    assert same_weights(weights, seen[1])


def test_without_early_stopping_the_last_weights_count(tiny, make_model, make_settings, monkeypatch):
    seen = scripted_validation(monkeypatch, [3.0, 1.0, 2.0])
    weights, progress = run(tiny, make_model, make_settings())
    assert not progress.stopped
    assert progress.best_epoch == 2
    assert same_weights(weights, seen[2])


def test_a_run_that_was_stopped_early_stays_stopped(tiny, make_model, make_settings, monkeypatch, tmp_path):
    seen = scripted_validation(monkeypatch, [1.0, 2.0, 3.0])
    settings = make_settings(patience_epochs=1, checkpoint_every_steps=100)
    first, progress = run(tiny, make_model, settings, tmp_path)
    again, progress_again = run(tiny, make_model, settings, tmp_path)
    assert len(seen) == 2
    assert same_weights(first, again)
    assert progress == progress_again


def test_training_works_without_held_out_patients(tiny, make_model, make_settings):
    weights, progress = run(tiny, make_model, make_settings(patience_epochs=1), validate=False)
    assert {entry["name"] for entry in progress.history} >= {"loss"}
    assert not any(entry["name"].startswith("validation") for entry in progress.history)
    assert all(value.isfinite().all() for value in weights.values())


def test_validation_reads_no_training_patient_and_training_no_held_out_one(
    tiny, make_model, make_settings, monkeypatch
):
    training, held_out = tiny.data(0, 7), tiny.data(8, 11)
    read = {"training": set(), "validation": set()}
    plain = step.forward

    def spy(model, data, rows, views, amp):
        read["training" if model.training else "validation"].update(data.store_index_N[rows].tolist())
        return plain(model, data, rows, views, amp)

    monkeypatch.setattr(step, "forward", spy)
    monkeypatch.setattr(validation, "forward", spy)
    run(tiny, make_model, make_settings())
    assert read["training"] == set(training.store_index_N.tolist())
    assert read["validation"] <= set(held_out.store_index_N.tolist())
    assert len(read["validation"]) >= 4


def test_a_gradient_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tiny, make_model, make_settings, tmp_path, monkeypatch
):
    plain, calls = step.forward, []

    def broken(*args):
        losses, contrasts = plain(*args)
        calls.append(losses)
        if len(calls) == 4:
            losses["loss"] = losses["loss"] * float("inf")
        return losses, contrasts

    monkeypatch.setattr(step, "forward", broken)
    with pytest.raises(FloatingPointError, match="step 3 "):
        run(tiny, make_model, make_settings(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000002"]


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
from slimp_pipeline.training.loop import train

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
train(model, store, data, None, settings, 16, report, folder / "running")
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
    assert [path.name for path in (tmp_path / "running").iterdir()] == ["step_000000004"]

    def go_on(folder, steps):
        model = make_model(settings)
        return train(model, tiny.store, tiny.data(), None, settings, 16, lambda step, _: steps.append(step), folder)

    all_steps, later_steps = [], []
    whole, whole_progress = go_on(None, all_steps)
    resumed, progress = go_on(tmp_path / "running", later_steps)
    assert (all_steps, later_steps) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], [5, 6, 7, 8, 9])
    assert same_weights(whole, resumed)
    assert progress == whole_progress
