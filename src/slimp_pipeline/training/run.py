"""A training run as it stands: weights, history, early stop, and its running checkpoint."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.processes.stopping import unbroken
from slimp_pipeline.training.checkpoint import RunningState, load_running, pack_state, save_running, unpack_state
from slimp_pipeline.training.history import History
from slimp_pipeline.training.sampler import Batches
from slimp_pipeline.training.step import StepValues, build_optimizer

Report = Callable[[int, dict[str, float]], None]
Judge = Callable[[SLIMP], dict[str, float]]  # what it measures of a model, which it leaves as it is
logger = logging.getLogger(__name__)
_TIMED_STEPS = 20  # after which the rest is foretold
_READ_EVERY = 20  # steps on a GPU, which would wait at every reading
_NUM_SHOWN = 5


@dataclass
class Progress:
    """How far early stopping has come; plain values, saved with every running checkpoint."""

    best_loss: float = math.inf
    best_epoch: int = -1
    stopped: bool = False


class Course(NamedTuple):
    """How a run went: its steps, early stopping, what was measured, and its length in words."""

    step: int
    progress: Progress
    history: History
    length: str


class Run:
    """A run after `step` optimiser steps; begins where a killed one with the same folder stopped.

    Attributes:
        length: How long the run is, in words.

    Args:
        model: The model with its first weights, on its device; changed in place.
        settings: Optimiser, epochs, early stop, how often a checkpoint is kept.
        batches: Of an epoch.
        report: Called with (step, values) as the run goes.
        folder: Of the running checkpoint; None: none is kept.
        keeps: Whether it writes there; of several processes one does.
        judge: Also measures the model after every epoch.
    """

    def __init__(
        self,
        model: SLIMP,
        settings: TrainingParams,
        batches: Batches,
        report: Report,
        folder: Path | None,
        *,
        keeps: bool = True,
        judge: Judge | None = None,
    ) -> None:
        self.model, self.settings, self.steps_per_epoch = model, settings, batches.num_batches
        self.num_steps = settings.num_steps or batches.num_batches * settings.num_epochs
        self.length = _length(batches, self.num_steps)
        self._images_per_step = batches.images_per_epoch / batches.num_batches
        self.optimizer = build_optimizer(model, settings)
        self.step, self.progress, self.history = 0, Progress(), History(folder)
        self._best: dict[str, Tensor] | None = None  # kept for early stopping alone
        self._report, self._judge, self._folder = report, judge, folder if keeps else None
        self._start_clock()
        self._kept_at, self._is_whole = time.perf_counter(), False
        if state := load_running(folder) if folder else None:
            self._best = unpack_state(state.tensors, model, self.optimizer)
            self.step, self.progress = state.step, Progress(**state.progress)
            self.history = History(folder, state.num_history_bytes)
            if self.is_over:
                logger.info("A run with the same settings and data has ended, at step %d: nothing is left", self.step)
            else:
                logger.info("Going on from step %d of a run with the same settings and data", self.step)
        self._step_kept = self._first_step = self.step
        self._read_every = _steps_between_readings(next(model.parameters()).device)
        self._unread: list[tuple[int, StepValues, np.ndarray]] = []
        self._last: dict[str, float] = {}

    @property
    def epoch(self) -> int:
        """Epoch of the last step, from 1; 0 before the first."""
        return self._epoch_of(self.step)

    @property
    def epoch_is_over(self) -> bool:
        """Whether the last step was the last of its epoch, or of the run."""
        return self.step % self.steps_per_epoch == 0 or self.step == self.num_steps

    @property
    def is_over(self) -> bool:
        """Whether no step is left, or the run was stopped early."""
        return self.progress.stopped or self.step >= self.num_steps

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """Take a step and note what comes of it; a signal waits until that is done.

        What stands between two steps can be kept: a run that is stopped, or whose workers were, loses nothing.
        """
        with unbroken():
            self._is_whole = False
            yield
            self._is_whole = self._judge is None or not self.epoch_is_over

    def note_step(self, values: StepValues, image_ids: np.ndarray) -> None:
        """Count one more step and note its values, which on a GPU are still being computed: they are read later.

        Raises:
            FloatingPointError: If the gradient of one of the last steps wasn't finite.
        """
        self.step += 1
        self._images_seen += len(image_ids)
        self._unread.append((self.step, values, image_ids))
        if len(self._unread) >= self._read_every:
            self._read()
        seconds = time.perf_counter() - self._started
        self._num_taken += 1
        if self._num_taken == _TIMED_STEPS and (left := seconds / _TIMED_STEPS * (self.num_steps - self.step)) > 60:
            logger.info("By %d steps, about %s to go", _TIMED_STEPS, _in_words(left))
        if self.step % max(1, self.steps_per_epoch // 4) == 0:  # a few points an epoch: writing them costs time
            images_per_s = self._images_seen / seconds
            self._report(self.step, self._read() | {"images_per_s": images_per_s})
        if self.step == self._first_step + 1:  # which also compiled, and waited for input workers to start
            self._start_clock()

    def _start_clock(self) -> None:
        self._images_seen, self._num_taken, self._started = 0, 0, time.perf_counter()

    def note_validation(self, values: dict[str, float]) -> None:
        """Note what was measured after an epoch, and stop early where it no longer gets better."""
        self._read()
        self.history.note(self.step, self.epoch, values)
        self._report(self.step, values)
        patience = self.settings.patience_epochs
        if values["validation_loss"] < self.progress.best_loss:
            self.progress.best_loss, self.progress.best_epoch = values["validation_loss"], self.epoch
            if patience:
                self._best = copy.deepcopy(self.model.state_dict())
        if patience and self.epoch - self.progress.best_epoch >= patience:
            self.progress.stopped = True

    def be_judged_if_due(self) -> None:
        """Note after an epoch what the judge measures, and the pictures seen until then.

        A step isn't kept before that is done: a run that goes on from it would miss a judgement. `report` may end the
        run by an error: what it ended after is kept.
        """
        if self._judge is None or not self.epoch_is_over:
            return
        self._read()
        values = {**self._judge(self.model), "images_seen": float(round(self.step * self._images_per_step))}
        self.history.note(self.step, self.epoch, values)
        self._is_whole = True
        self._report(self.step, {**values, "epoch": float(self.epoch), "is_last": float(self.is_over)})

    def keep_if_due(self) -> None:
        """Save a running checkpoint every so many steps and minutes, and at the end."""
        minutes = (time.perf_counter() - self._kept_at) / 60
        due = self.step % self.settings.checkpoint_every_steps == 0
        if due or minutes >= self.settings.checkpoint_every_minutes or self.is_over:
            self._keep()

    def keep_if_stopped(self) -> None:
        """Save a running checkpoint before leaving, where the last step is whole, and say so."""
        if self._folder and self._is_whole:
            if self.step > self._step_kept:
                self._keep()
            logger.info("Stopped after step %d, which is kept", self.step)

    def _keep(self) -> None:
        self._read()
        if self._folder:
            tensors = pack_state(self.model, self.optimizer, self._best)
            state = RunningState(self.step, tensors, vars(self.progress), self.history.keep())
            save_running(self._folder, state)
        self._kept_at, self._step_kept = time.perf_counter(), self.step

    @property
    def course(self) -> Course:
        """How it went, up to here."""
        return Course(self.step, self.progress, self.history, self.length)

    def weights(self) -> dict[str, Tensor]:
        """Copy the weights to the CPU: with early stopping those of the best epoch, else the last."""
        final = self._best or self.model.state_dict()
        return {name: value.detach().cpu().clone() for name, value in final.items()}

    def _epoch_of(self, step: int) -> int:
        return math.ceil(step / self.steps_per_epoch)

    def _read(self) -> dict[str, float]:
        """Note the values that weren't read yet, all at once; return the last step's."""
        unread, self._unread = self._unread, []
        computed = [value for _, values, _ in unread for value in values.values() if isinstance(value, Tensor)]
        numbers = iter(torch.stack(computed).tolist() if computed else [])
        for step, values, image_ids in unread:
            read = {name: next(numbers) if isinstance(value, Tensor) else value for name, value in values.items()}
            if not math.isfinite(read["grad_norm"]):
                self._is_whole = False
                raise FloatingPointError(_not_finite(step - 1, read["loss"], image_ids))
            self.history.note(step, self._epoch_of(step), read)
            self._last = read
        return self._last


def _steps_between_readings(device: torch.device) -> int:
    return 1 if device.type == "cpu" else _READ_EVERY


def _not_finite(step: int, loss: float, image_ids: np.ndarray) -> str:
    more = f" and {len(image_ids) - _NUM_SHOWN} more" if len(image_ids) > _NUM_SHOWN else ""
    return (
        f"the gradient isn't finite at step {step} (loss {loss}; images {', '.join(image_ids[:_NUM_SHOWN])}{more}). "
        "Lower training.learning_rate."
    )


def _length(batches: Batches, num_steps: int) -> str:
    """In words: steps, epochs, and how often a lesion is seen."""
    pictures = batches.images_per_epoch / batches.num_batches
    times = batches.lesions_per_epoch / batches.num_batches * num_steps / batches.num_lesions
    return (
        f"{num_steps:,} steps of about {pictures:.0f} pictures, which are {num_steps / batches.num_batches:.3g} epochs "
        f"of {batches.unit}; each of the {batches.num_lesions:,} lesions is seen {times:.2g} times on average"
    )


def _in_words(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}" if minutes < 120 else f"{minutes / 60:.1f} hours"
