"""Trials of a search: each a pre-training that is judged after every epoch."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import (
    CHANGES_NOTHING_LEARNT,
    ModelParams,
    SearchParams,
    TrainingParams,
)
from slimp_pipeline.processes.stopping import stop_if_asked
from slimp_pipeline.processes.whole import remove
from slimp_pipeline.search.journal import Journal, TrialPruned, seconds_of
from slimp_pipeline.search.judge import InnerProbes, TrialJudge
from slimp_pipeline.search.rows import TRAINING
from slimp_pipeline.search.space import present_values, with_values
from slimp_pipeline.training.checkpoint import running_key
from slimp_pipeline.training.pretrain import Cohort, pretrain_partition
from slimp_pipeline.training.run import Report

logger = logging.getLogger(__name__)
INNER = "search"  # the partition whose training rows are the inner training patients
_MAX_FAILED_IN_A_ROW = 5
_FAILURES = (
    ArithmeticError,
    ValueError,
    RuntimeError,
    MemoryError,
    ChildProcessError,
)  # of settings; a full disk is none
_JUST_FOR_STEERING = ("epoch", "is_last")


class BudgetSpent(Exception):
    """The hours of the search are over; the trial stays unfinished."""


@dataclass(frozen=True)
class Search:
    """What is searched for, on what.

    Attributes:
        cohort: The source, with the encoding of its inner training patients under `INNER`.
        store: Its image store.
        rows: image_id, patient_id, part, as `rows.select_search_rows` makes them.
        probes: What a trial is judged by.
        model, training: Settings that trials change.
        settings: The search.
        report: Called with (trial, step, values) as trials go.
    """

    cohort: Cohort
    store: ImageStore
    rows: pd.DataFrame
    probes: InnerProbes
    model: ModelParams
    training: TrainingParams
    settings: SearchParams
    report: Callable[[str, int, dict[str, float]], None]

    @property
    def training_rows(self) -> pd.DataFrame:
        """Rows of inner training patients."""
        return self.rows[self.rows["part"] == TRAINING]

    @property
    def budget_s(self) -> float:
        """Seconds that may be computed."""
        assert self.settings.budget_hours is not None  # as it is checked
        return 3600 * self.settings.budget_hours

    def key(self) -> str:
        """Digest of what decides which trials there are; the budget only decides how many."""
        learnt = self.training.model_dump(mode="json", exclude=set(CHANGES_NOTHING_LEARNT))
        asked = self.settings.model_dump(mode="json", exclude={"budget_hours", "num_trials"})
        judged = self.probes.settings.model_dump(mode="json", include={"label", "unit", "seed", "probe"})
        rows = sorted(self.training_rows["image_id"]), self.probes.rows["image_id"].tolist()
        code = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
        content = [self.cohort.fingerprint, *rows, optuna.__version__, *code]
        return running_key(asked, learnt, self.model, judged, self.cohort.encodings[INNER], content)


def run_trials(search: Search, journal: Journal, folder: Path) -> None:
    """Take trials until budget or space is used up, or too many fail one after the other."""
    if journal.trials:
        logger.info("Going on with a search of %d trials, %.2f hours", len(journal.trials), journal.seconds / 3600)
    for ended in (trial for trial in journal.trials if trial.state.is_finished()):
        remove(_folder(folder, ended))  # a process that was killed had no time for it
    present = present_values(search.settings.space, search.model, search.training)
    while not (why := _is_over(search, journal)):
        trial = journal.unfinished() or journal.begin(present)
        if trial is None:
            why = "all values were tried"
            break
        logger.info("Trial %d: %s", trial.number, in_words(trial.params))
        _take(search, journal, trial, _folder(folder, trial))
    logger.info("The search ends: %s", why)


def _folder(folder: Path, trial: FrozenTrial) -> Path:
    """Of a trial's running checkpoint."""
    return folder / f"trial_{trial.number:04d}"


def in_words(values: Mapping[str, Any]) -> str:
    """Settings as they are given on the command line, numbers to four digits."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def _is_over(search: Search, journal: Journal) -> str:
    """Why no further trial is taken; empty where one is."""
    states = [trial.state for trial in journal.trials if trial.state.is_finished()]
    if len(states) >= (search.settings.num_trials or len(states) + 1):
        return f"search.num_trials is {search.settings.num_trials}"
    last = states[-_MAX_FAILED_IN_A_ROW:]
    if len(last) == _MAX_FAILED_IN_A_ROW and set(last) == {TrialState.FAIL}:
        return f"{_MAX_FAILED_IN_A_ROW} trials failed one after the other"
    if journal.seconds >= search.budget_s:
        left = journal.unfinished()
        open_end = f"; trial {left.number} stays unfinished, more hours would go on with it" if left else ""
        return f"search.budget_hours={search.settings.budget_hours:g} are spent{open_end}"
    return ""


def _take(search: Search, journal: Journal, trial: FrozenTrial, folder: Path) -> None:
    """Train one trial, or go on with it, and note how it ended."""
    try:
        if journal.is_to_be_pruned(trial):  # a search that was stopped before it noted that
            raise TrialPruned
        journal.complete(trial, _trained(search, journal, trial, folder))
        told = f"{search.settings.metric} {journal.trials[trial.number].value:.3f}"
    except BudgetSpent:
        return
    except TrialPruned:
        journal.prune(trial)
        told = "ended early, below the median of earlier trials"
    except _FAILURES as error:
        stop_if_asked()  # input workers heard the signal, too, and failed
        journal.fail(trial, str(error) or type(error).__name__)
        told = f"failed: {str(error).partition(' (')[0]}"  # in brackets pictures may be named
    remove(folder)
    best = (
        f"best so far {journal.best.value:.3f} of trial {journal.best.number}" if journal.best else "none is complete"
    )
    left = max(0.0, search.budget_s - journal.seconds) / 3600
    logger.info("Trial %d: %s; %s; %.2f of %g hours left", trial.number, told, best, left, search.settings.budget_hours)


def _trained(search: Search, journal: Journal, trial: FrozenTrial, folder: Path) -> float:
    """What a trial came to: of the epoch whose weights a pre-training keeps."""
    model, training = with_values(trial.params, search.model, search.training)
    encoding, metric = search.cohort.encodings[INNER], search.settings.metric
    judge = TrialJudge(search.probes, model, training.loss, encoding)
    checkpoint, history = pretrain_partition(
        search.cohort, search.store, INNER, search.training_rows, model, training, folder,
        _watcher(search, journal, trial), judge,
    )  # fmt: skip
    by_epoch = history.pivot_table(index="epoch", columns="name", values="value")[[metric, "images_seen"]].dropna()
    for epoch, row in by_epoch.iterrows():
        journal.note(trial, int(epoch), row[metric], int(row["images_seen"]))
    best = checkpoint.facts["best_validation_epoch"]  # none where nobody validates: the last weights are kept
    kept = best if training.patience_epochs and best in by_epoch.index else by_epoch.index[-1]
    return float(by_epoch.loc[kept, metric])


def _watcher(search: Search, journal: Journal, trial: FrozenTrial) -> Report:
    """What a trial's training reports to: notes its time and values, and ends it early."""
    started = time.monotonic() - seconds_of(trial)
    metric = search.settings.metric

    def watch(step: int, values: dict[str, float]) -> None:
        journal.spend(trial, time.monotonic() - started)
        told = {name: value for name, value in values.items() if name not in _JUST_FOR_STEERING}
        search.report(f"trial_{trial.number}", step, told)
        if metric not in values:
            return
        epoch, value = int(values["epoch"]), values[metric]
        journal.note(trial, epoch, value, int(values["images_seen"]))
        logger.info("Trial %d, epoch %d: %s %.3f", trial.number, epoch, metric, value)
        if values["is_last"]:
            return
        if journal.is_to_be_pruned(trial):
            raise TrialPruned
        if journal.seconds >= search.budget_s:
            raise BudgetSpent

    return watch
