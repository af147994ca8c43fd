"""The journal: what comes next follows from what ended, whatever was killed between."""

import optuna
import pytest

from slimp_pipeline.parameters import RangeParams, SearchParams
from slimp_pipeline.search.journal import Journal, curve_of, reason_of, seconds_of

SPACE = {
    "training.learning_rate": RangeParams(low=1e-4, high=1e-1, log=True),
    "model.pooling": RangeParams(choices=["mean", "max", "gated_attention"]),
}
SEARCH = SearchParams(space=SPACE, budget_hours=1, num_startup_trials=2)


def finish(journal, trial, value):
    """Let a trial come to a value after each of three epochs."""
    for epoch in (1, 2, 3):
        journal.note(trial, epoch, value, 10 * epoch)
    journal.complete(trial, value)


def values_of(file, num_trials, *, opened_anew):
    journal = Journal(file, SEARCH)
    for number in range(num_trials):
        if opened_anew:
            journal = Journal(file, SEARCH)
        trial = journal.unfinished() or journal.begin(None)
        assert trial.number == number
        if opened_anew:
            journal = Journal(file, SEARCH)
            assert journal.unfinished().params == trial.params
            trial = journal.unfinished()
        finish(journal, trial, trial.params["training.learning_rate"])
    return [trial.params for trial in journal.trials]


def test_a_journal_that_is_opened_again_and_again_draws_the_same_values(tmp_path):
    whole = values_of(tmp_path / "whole", 8, opened_anew=False)
    assert values_of(tmp_path / "anew", 8, opened_anew=True) == whole
    assert len({str(values) for values in whole}) == 8


def test_later_trials_are_drawn_where_earlier_ones_were_good(tmp_path):
    rates = [values["training.learning_rate"] for values in values_of(tmp_path / "journal", 20, opened_anew=False)]
    assert sum(rate > 1e-2 for rate in rates[10:]) > 7  # a third of the range, by its logarithm


def test_later_trials_on_a_grid_are_new_ones_where_earlier_ones_were_good(tmp_path):
    name = "training.sampler.lesions_per_patient"
    settings = SearchParams(space={name: RangeParams(low=1, high=90)}, budget_hours=1)
    journal = Journal(tmp_path / "journal", settings)
    for _ in range(20):
        trial = journal.begin(None)
        finish(journal, trial, trial.params[name])
    counts = [trial.params[name] for trial in journal.trials]
    assert len(set(counts)) == 20 and sum(count > 60 for count in counts[10:]) > 6  # a third of the range


def test_the_first_trial_is_the_settings_as_they_are(tmp_path):
    present = {"training.learning_rate": 0.002, "model.pooling": "max"}
    journal = Journal(tmp_path / "journal", SEARCH)
    assert journal.begin(present).params == present
    finish(journal, journal.unfinished(), 0.5)
    assert journal.begin(present).params != present


def test_a_line_that_was_being_written_when_the_process_was_killed_is_cut_off(tmp_path):
    file = tmp_path / "journal"
    journal = Journal(file, SEARCH)
    trial = journal.begin(None)
    journal.note(trial, 1, 0.25, 10)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":7,"worker_id":"')
    again = Journal(file, SEARCH)
    assert file.read_bytes().startswith(whole + b'{"op_code":0')  # that it was opened
    again.note(again.unfinished(), 2, 0.5, 20)
    assert curve_of(Journal(file, SEARCH).trials[0]) == [(1, 10, 0.25), (2, 20, 0.5)]


def test_what_a_trial_came_to_after_an_epoch_is_noted_once(tmp_path):
    journal = Journal(tmp_path / "journal", SEARCH)
    trial = journal.begin(None)
    journal.note(trial, 1, 0.25, 10)
    journal.note(trial, 1, 0.75, 99)
    assert curve_of(journal.trials[0]) == [(1, 10, 0.25)]


def test_a_trial_below_the_median_is_pruned_after_the_second_epoch_and_no_earlier(tmp_path):
    journal = Journal(tmp_path / "journal", SEARCH)
    for value in (0.4, 0.6, 0.5):
        finish(journal, journal.begin(None), value)
    trial = journal.begin(None)
    journal.note(trial, 1, 0.1, 10)
    assert not journal.is_to_be_pruned(trial)
    journal.note(trial, 2, 0.49, 20)  # the median is 0.5
    assert journal.is_to_be_pruned(trial)
    journal.prune(trial)
    better = journal.begin(None)
    journal.note(better, 2, 0.51, 20)
    assert not journal.is_to_be_pruned(better)


def test_nothing_is_pruned_among_the_first_trials_or_where_that_is_switched_off(tmp_path):
    for settings, ended in ((SEARCH, 1), (SEARCH.model_copy(update={"pruning": False}), 3)):
        journal = Journal(tmp_path / str(ended), settings)
        for _ in range(ended):
            finish(journal, journal.begin(None), 0.9)
        trial = journal.begin(None)
        journal.note(trial, 2, 0.1, 20)
        assert not journal.is_to_be_pruned(trial)


def test_time_reasons_and_the_best_are_known_to_whoever_opens_it_next(tmp_path):
    journal = Journal(tmp_path / "journal", SEARCH)
    for value in (0.4, 0.6, 0.6):
        trial = journal.begin(None)
        journal.spend(trial, 1.0)
        journal.spend(trial, 7.5)
        finish(journal, trial, value)
    failed = journal.begin(None)
    journal.fail(failed, "the gradient isn't finite")
    again = Journal(tmp_path / "journal", SEARCH)
    assert again.seconds == 22.5 and seconds_of(again.trials[1]) == 7.5
    assert again.best.number == 1 and again.unfinished() is None
    assert reason_of(again.trials[3]) == "the gradient isn't finite"


DISCRETE = {
    "choices": {
        "model.pooling": RangeParams(choices=["mean", "max", "gated_attention"]),
        "training.sampler.epoch": RangeParams(choices=["patients", "lesions"]),
    },
    "whole numbers": {"training.sampler.lesions_per_patient": RangeParams(low=1, high=6)},
    "steps": {"training.loss.lesion_weight": RangeParams(low=0.0, high=0.5, step=0.1)},
}


@pytest.mark.parametrize("space", DISCRETE.values(), ids=DISCRETE)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_value_of_a_discrete_space_is_tried_once_whenever_it_is_opened_and_then_it_is_exhausted(
    tmp_path, space, seed
):
    settings = SearchParams(space=space, budget_hours=1, num_startup_trials=2, seed=seed)
    found = []
    for file, opened_anew in ((tmp_path / "whole", False), (tmp_path / "anew", True)):
        journal = Journal(file, settings)
        for number in range(6):
            finish(journal, journal.begin(None), float(number == 2))  # all later ones would be as the third
            journal = Journal(file, settings) if opened_anew else journal
        assert journal.begin(None) is None
        found.append([trial.params for trial in journal.trials])
    assert found[0] == found[1] and len({str(values) for values in found[0]}) == 6


def test_the_settings_as_they_are_are_not_tried_again_with_another_rounding(tmp_path):
    space = {"training.loss.lesion_weight": RangeParams(low=0.0, high=0.3, step=0.1)}
    journal = Journal(tmp_path / "journal", SearchParams(space=space, budget_hours=1))
    finish(journal, journal.begin({"training.loss.lesion_weight": 0.1 + 0.1 + 0.1 - 0.1}), 0.5)
    for _ in range(3):
        finish(journal, journal.begin(None), 0.5)
    weights = sorted(trial.params["training.loss.lesion_weight"] for trial in journal.trials)
    assert weights == pytest.approx([0.0, 0.1, 0.2, 0.3]) and journal.begin(None) is None


def test_optunas_own_tools_read_it(tmp_path):
    journal = Journal(tmp_path / "journal", SEARCH)
    finish(journal, journal.begin(None), 0.5)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal")))
    assert optuna.load_study(study_name="search", storage=storage).best_value == pytest.approx(0.5)
