"""Searches: killed ones go on as if nothing had been, budgets are kept, failures are noted."""

import json
import logging
import multiprocessing
import os
import signal
from dataclasses import replace

import pandas as pd
import pytest
from tests.search.conftest import SPACE

from slimp_pipeline.parameters import RangeParams, SearchParams
from slimp_pipeline.search import trials as searching
from slimp_pipeline.search.journal import Journal
from slimp_pipeline.search.judge import TrialJudge
from slimp_pipeline.training import pretrain
from slimp_pipeline.training import run as training_run
from slimp_pipeline.training.loop import train

TIMES = ["hours", "ended_at_hours"]


@pytest.fixture(scope="session")
def unbroken(tiny_search, tmp_path_factory):
    return tiny_search.run(tmp_path_factory.mktemp("unbroken"))


def without_times(found):
    trials, curves, chosen = found
    return trials.drop(columns=TIMES), curves, {name: value for name, value in chosen.items() if name != "hours"}


def assert_same(found, other):
    for table, expected in zip(without_times(found)[:2], without_times(other)[:2], strict=True):
        pd.testing.assert_frame_equal(table, expected)
    assert without_times(found)[2] == without_times(other)[2]


def kill_at(owner, name, number, *, before):
    """End this process without warning at the call of that number."""
    function, calls = getattr(owner, name), iter(range(1, 10**6))

    def dying(*args, **options):
        is_last = next(calls) == number
        if is_last and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def kill(tiny_search, folder, *moment, before, **changes):
    """Search in a fork of this process, which is killed at a moment."""

    def work():
        kill_at(*moment, before=before)
        tiny_search.run(folder, **changes)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


MOMENTS = [
    (Journal, "begin", 3, False),  # the values are noted, nothing is trained
    (Journal, "note", 2, True),  # judged, and not noted
    (Journal, "note", 2, False),  # noted, and no step of that epoch kept
    (training_run, "save_running", 5, False),
    (Journal, "complete", 1, True),  # trained to its end, which isn't noted
    (searching, "remove", 2, True),  # ended, and its checkpoint is still there
]


@pytest.mark.parametrize(
    ("owner", "name", "number", "before"), MOMENTS, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_search_that_is_killed_goes_on_with_the_same_trials(
    tiny_search, unbroken, tmp_path, owner, name, number, before
):
    kill(tiny_search, tmp_path, owner, name, number, before=before)
    assert_same(tiny_search.run(tmp_path), unbroken)
    assert not list(tmp_path.glob("search_*/trial_*"))


def test_a_trial_that_was_to_be_pruned_is_pruned_when_the_search_goes_on(tiny_search, tmp_path, monkeypatch):
    monkeypatch.setattr(TrialJudge, "__call__", lambda judge, _: {"balanced_accuracy": judge.loss.lesion_weight})
    many = {"num_trials": 8, "space": {"training.loss.lesion_weight": RangeParams(low=0.0, high=1.0)}}
    whole = tiny_search.run(tmp_path / "whole", **many)
    pruned = whole[0][whole[0]["state"] == "pruned"]
    assert len(pruned) and set(pruned["num_epochs"]) == {2}
    kill(tiny_search, tmp_path / "killed", Journal, "prune", 1, before=True, **many)
    assert_same(tiny_search.run(tmp_path / "killed", **many), whole)


def test_a_search_that_ended_is_read_from_its_journal(tiny_search, unbroken, tmp_path, monkeypatch):
    first = tiny_search.run(tmp_path)
    monkeypatch.setattr(searching, "pretrain_partition", lambda *_: pytest.fail("something was trained"))
    again = tiny_search.run(tmp_path)
    assert_same(again, first)
    assert again[2] == first[2]  # its hours, too
    assert_same(first, unbroken)


def test_more_trials_go_on_from_those_there_are(tiny_search, unbroken, tmp_path):
    tiny_search.run(tmp_path, num_trials=2)
    assert_same(tiny_search.run(tmp_path), unbroken)


def test_the_first_trial_is_the_settings_as_they_are_and_the_best_is_chosen(tiny_search, unbroken):
    trials, curves, chosen = unbroken
    present = {"training.learning_rate": 3e-3, "training.sampler.patients_per_batch": 4}
    assert json.loads(trials["settings"][0]) == present
    complete = trials[trials["state"] == "complete"]
    assert chosen["value"] == complete["value"].max()
    assert chosen["trial"] == complete["trial"][complete["value"].idxmax()]
    assert curves["value"].nunique() > 3  # so that what comes next depends on what was
    last = curves.groupby("trial")["value"].last()
    assert last[complete["trial"]].tolist() == complete["value"].tolist()


def test_pictures_seen_are_those_of_an_epoch_times_epochs(tiny_search, tmp_path):
    training = tiny_search.training.model_copy(update={"validation_share": 0.0})
    _, curves, _ = replace(tiny_search, training=training).run(tmp_path, num_trials=1)
    rows = tiny_search.rows(SearchParams(validation_share=0.25))
    lesions = rows[rows["part"] == "training"].groupby("patient_id").size()
    per_epoch = lesions.clip(upper=training.sampler.lesions_per_patient).sum()
    assert curves["images_seen"].tolist() == [per_epoch, 2 * per_epoch, 3 * per_epoch]


def test_no_trial_trains_on_or_encodes_by_an_inner_validation_patient(tiny_search, tmp_path, monkeypatch):
    tasks = []
    monkeypatch.setattr(pretrain, "train", lambda task, report: tasks.append(task) or train(task, report))
    tiny_search.run(tmp_path, num_trials=2)
    rows = tiny_search.rows(SearchParams(validation_share=0.25))
    inner = rows[rows["part"] == "training"]
    for task in tasks:
        seen = {*task.training.image_id_N, *task.validation.image_id_N}
        assert seen == set(inner["image_id"])
        assert task.judge.encoding.num_patients == inner["patient_id"].nunique()
        own = tiny_search.cohort.patients.set_index("patient_id").loc[inner["patient_id"].unique()]
        assert task.judge.encoding.patient.fields["age_years"].mean == pytest.approx(own["age_years"].mean())
    assert len(tasks) == 2


def test_a_spent_budget_ends_after_the_epoch_and_a_larger_one_goes_on(tiny_search, unbroken, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="slimp_pipeline"), pytest.raises(ValueError, match="Give more"):
        tiny_search.run(tmp_path, budget_hours=1e-9)
    assert "trial 0 stays unfinished" in caplog.text
    journal = Journal(next(tmp_path.glob("search_*")) / "journal.jsonl", SearchParams(space=SPACE, budget_hours=1))
    assert list(journal.unfinished().intermediate_values) == [1]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="slimp_pipeline"):
        found = tiny_search.run(tmp_path)
    assert "Going on from step" in caplog.text
    assert without_times(found)[0].equals(without_times(unbroken)[0])


def test_time_that_was_spent_before_counts(tiny_search, tmp_path):
    spent = tiny_search.run(tmp_path, num_trials=1)[2]["hours"]
    trials, _, chosen = tiny_search.run(tmp_path, num_trials=None, budget_hours=spent / 2)
    assert len(trials) == 1 and chosen["hours"] == spent


def test_a_trial_that_cannot_be_trained_is_noted_and_the_others_go_on(tiny_search, tmp_path):
    heads = {"model.metadata_encoder.num_heads": RangeParams(choices=[2, 3, 4])}  # of dim 16
    trials, _, chosen = tiny_search.run(tmp_path, space=heads)
    states = {json.loads(row.settings)["model.metadata_encoder.num_heads"]: row.state for row in trials.itertuples()}
    assert states == {2: "complete", 3: "failed", 4: "complete"}
    assert "not a multiple of num_heads" in trials["reason"][trials["state"] == "failed"].item()
    assert chosen["trials"] == {"complete": 2, "failed": 1}


def test_a_search_of_which_every_trial_fails_is_an_error_that_says_why(tiny_search, tmp_path):
    rates = {"training.learning_rate": RangeParams(low=1e30, high=1e31)}  # weights overflow
    with pytest.raises(ValueError, match=r"5 of 5 trials couldn't be trained.*gradient isn't finite"):
        tiny_search.run(tmp_path, space=rates, num_trials=None)


def test_a_search_of_nothing_is_refused(tiny_search, tmp_path):
    with pytest.raises(ValueError, match=r"search\.space is empty"):
        tiny_search.run(tmp_path, space={})


def test_a_trial_reports_its_curves_under_its_own_name(tiny_search, tmp_path):
    reported = []
    tiny_search.run(tmp_path, lambda *told: reported.append(told), num_trials=2)
    assert {name for name, _, _ in reported} == {"trial_0", "trial_1"}
    judged = [values for name, _, values in reported if name == "trial_0" and "balanced_accuracy" in values]
    assert len(judged) == 3 and set(judged[0]) == {"balanced_accuracy", "images_seen"}


def test_with_early_stopping_the_value_is_that_of_the_weights_that_are_kept(tiny_search, tmp_path, monkeypatch):
    training = tiny_search.training.model_copy(update={"patience_epochs": 3})
    kept = []

    def noting(*args, **options):
        checkpoint, history = pretrain.pretrain_partition(*args, **options)
        kept.append(checkpoint.facts["best_validation_epoch"])
        return checkpoint, history

    monkeypatch.setattr(searching, "pretrain_partition", noting)
    trials, curves, _ = replace(tiny_search, training=training).run(tmp_path, num_trials=3)
    for trial, epoch in enumerate(kept):
        own = curves[(curves["trial"] == trial) & (curves["epoch"] == epoch)]
        assert trials["value"][trial] == own["value"].item()


def test_where_nobody_validates_early_stopping_keeps_the_last_weights_and_their_value_counts(tiny_search, tmp_path):
    training = tiny_search.training.model_copy(update={"patience_epochs": 3, "validation_share": 0.0})
    trials, curves, _ = replace(tiny_search, training=training).run(tmp_path, num_trials=1)
    assert trials["state"].item() == "complete" and trials["value"].item() == curves["value"].iloc[-1]
