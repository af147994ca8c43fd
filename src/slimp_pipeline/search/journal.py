"""The journal of a search: its trials in a text file that only grows, which a killed search goes on from.

It is Optuna's, who reads it with its own tools: `optuna.load_study(study_name="search", storage=JournalStorage(...))`.
What a next trial's values are follows from the seed and the trials that ended, and from nothing else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from slimp_pipeline.parameters import SearchParams
from slimp_pipeline.search.grid import Grid
from slimp_pipeline.search.space import Values, distributions

_MAX_DRAWS = 20  # of the sampler, which comes back to good values until few others are left
_SECONDS, _IMAGES_SEEN, _REASON = "seconds", "images_seen", "reason"
_COMPLETE, _PRUNED, _FAILED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


class TrialPruned(Exception):
    """A trial ended early: it is worse than the median of earlier ones."""


class Journal:
    """Trials of one search. Whoever opens it is alone with it: a lock that a killed process left holds nobody up.

    Args:
        file: Of the journal; made where it isn't there.
        settings: The search.
    """

    def __init__(self, file: Path, settings: SearchParams) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        file.parent.mkdir(parents=True, exist_ok=True)
        _cut_off_torn_line(file)
        storage = JournalStorage(JournalFileBackend(str(file), lock_obj=_AloneAlready()))  # type: ignore[arg-type]
        self._settings, self._space = settings, distributions(settings.space)
        self._study = optuna.create_study(
            storage=storage, study_name="search", direction="maximize", load_if_exists=True,
            sampler=RandomSampler(), pruner=_pruner(settings),
        )  # fmt: skip

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self._study.get_trials()

    @property
    def seconds(self) -> float:
        """What all trials have computed."""
        return sum(seconds_of(trial) for trial in self.trials)

    @property
    def best(self) -> FrozenTrial | None:
        """The best trial that ran to its end, the first of several."""
        complete = [trial for trial in self.trials if trial.state == _COMPLETE]
        return max(complete, key=lambda trial: cast(float, trial.value), default=None)

    def unfinished(self) -> FrozenTrial | None:
        """The trial that a stopped search was at."""
        return next((trial for trial in self.trials if not trial.state.is_finished()), None)

    def begin(self, present: Values | None) -> FrozenTrial | None:
        """Note the next trial, values and all; None where every value was tried.

        Args:
            present: Values of the settings as they are, where these lie in the space: the first trial.
        """
        trials = self.trials
        values = present if not trials and present is not None else self._draw(trials)
        if values is None:
            return None
        started = create_trial(state=TrialState.RUNNING, params=values, distributions=self._space)
        self._study.add_trial(started)
        return self.trials[-1]

    def spend(self, trial: FrozenTrial, seconds: float) -> None:
        """Note what a trial has computed in all."""
        self._running(trial).set_user_attr(_SECONDS, seconds)

    def note(self, trial: FrozenTrial, epoch: int, value: float, images_seen: int) -> None:
        """Note what a trial came to after an epoch, once, and how many pictures it had seen."""
        noted, running = self.trials[trial.number], self._running(trial)
        if epoch not in noted.intermediate_values:
            running.set_user_attr(_IMAGES_SEEN, {**_images_seen(noted), str(epoch): images_seen})
            running.report(value, epoch)

    def is_to_be_pruned(self, trial: FrozenTrial) -> bool:
        """Whether what a trial came to is worse than the median of earlier trials after the same epoch."""
        present = self.trials[trial.number]
        return bool(present.intermediate_values) and self._running(trial).should_prune()

    def complete(self, trial: FrozenTrial, value: float) -> None:
        """Note that a trial ran to its end."""
        self._study.tell(trial.number, value)

    def prune(self, trial: FrozenTrial) -> None:
        """Note that a trial ended early."""
        self._study.tell(trial.number, state=_PRUNED)

    def fail(self, trial: FrozenTrial, reason: str) -> None:
        """Note that a trial couldn't be trained, and why."""
        self._running(trial).set_user_attr(_REASON, reason)
        self._study.tell(trial.number, state=_FAILED)

    def _draw(self, trials: list[FrozenTrial]) -> Values | None:
        """Values for the next trial that no earlier one had; None where there are none left."""
        grid, seed = Grid.of(self._space), self._settings.seed * 1_000_003 + len(trials) * _MAX_DRAWS
        if grid is None:
            return self._proposed(trials, seed)
        tried = {grid.number(trial.params) for trial in trials}
        left = grid.one_left(tried, seed)
        if left is None:
            return None
        proposals = (self._proposed(trials, seed + draw) for draw in range(_MAX_DRAWS))
        return next((values for values in proposals if grid.number(values) not in tried), left)

    def _proposed(self, trials: list[FrozenTrial], seed: int) -> Values:
        """What the sampler would take next: at random at first, then where trials were good."""
        sampler = TPESampler(seed=seed % 2**32, n_startup_trials=self._settings.num_startup_trials)
        scratch = optuna.create_study(direction="maximize", sampler=sampler)
        scratch.add_trials(trials)
        return scratch.ask(dict(self._space)).params

    def _running(self, trial: FrozenTrial) -> Trial:
        return Trial(self._study, trial._trial_id)  # of one that an earlier process began, Optuna has no other way


def seconds_of(trial: FrozenTrial) -> float:
    """What a trial has computed."""
    return float(trial.user_attrs.get(_SECONDS, 0.0))


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed; empty where it didn't."""
    return str(trial.user_attrs.get(_REASON, ""))


def curve_of(trial: FrozenTrial) -> list[tuple[int, int, float]]:
    """Epochs of a trial, pictures seen until then, and what it came to."""
    images_seen = _images_seen(trial)
    return [(epoch, images_seen[str(epoch)], value) for epoch, value in sorted(trial.intermediate_values.items())]


def _images_seen(trial: FrozenTrial) -> Mapping[str, int]:
    return cast(Mapping[str, int], trial.user_attrs.get(_IMAGES_SEEN, {}))


def _pruner(settings: SearchParams) -> BasePruner:
    """By the median: a handful of trials, which is what a budget of hours allows, fills no brackets of Hyperband's."""
    if not settings.pruning:
        return NopPruner()
    return MedianPruner(n_startup_trials=settings.num_startup_trials, n_warmup_steps=2)  # the first epoch warms up


class _AloneAlready:
    """A lock for Optuna, whose own one a killed process would leave locked."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        """There is nothing to release."""


def _cut_off_torn_line(file: Path) -> None:
    """Cut off what a killed process had begun to write."""
    if file.exists() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        with file.open("r+b") as journal:
            journal.truncate(content.rfind(b"\n") + 1)
