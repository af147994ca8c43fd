"""A training run as it stands: weights, history, early stop, and its running checkpoint."""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.training.checkpoint import RunningState, load_running, pack_state, save_running, unpack_state
from slimp_pipeline.training.step import build_optimizer

Report = Callable[[int, dict[str, float]], None]
logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """What a run has seen so far; plain values, saved with every running checkpoint."""

    history: list[dict[str, Any]] = field(default_factory=list)  # step, epoch, name, value
    best_loss: float = math.inf
    best_epoch: int = -1
    stopped: bool = False


class Run:
    """A run after `step` optimiser steps; begins where a killed one with the same folder stopped.

    Args:
        model: The model with its first weights, on its device; changed in place.
        settings: Optimiser, epochs, early stop, how often a checkpoint is kept.
        steps_per_epoch: Batches of an epoch.
        report: Called with (step, values) as the run goes.
        folder: Of the running checkpoint; None: none is kept.
    """

    def __init__(
        self, model: SLIMP, settings: TrainingParams, steps_per_epoch: int, report: Report, folder: Path | None
    ) -> None:
        self.model, self.settings, self.steps_per_epoch = model, settings, steps_per_epoch
        self.num_steps = steps_per_epoch * settings.num_epochs
        self.optimizer = build_optimizer(model, settings)
        self.step, self.progress = 0, Progress()
        self._best: dict[str, Tensor] | None = None  # kept for early stopping alone
        self._report, self._folder = report, folder
        self._images_seen, self._started = 0, time.perf_counter()
        if state := load_running(folder) if folder else None:
            self._best = unpack_state(state.tensors, model, self.optimizer)
            self.step, self.progress = state.step, Progress(**state.progress)
            logger.info("Going on from step %d of a run with the same settings and data", state.step)

    @property
    def epoch(self) -> int:
        """Epoch of the last step, from 1; 0 before the first."""
        return math.ceil(self.step / self.steps_per_epoch)

    @property
    def epoch_is_over(self) -> bool:
        """Whether the last step was the last of its epoch."""
        return self.step % self.steps_per_epoch == 0

    @property
    def is_over(self) -> bool:
        """Whether no step is left, or the run was stopped early."""
        return self.progress.stopped or self.step >= self.num_steps

    def note_step(self, values: dict[str, float], num_images: int) -> None:
        """Count one more step and note its values."""
        self.step += 1
        self._images_seen += num_images
        self._note(values)
        if self.step % max(1, self.steps_per_epoch // 4) == 0:  # a few points an epoch: writing them costs time
            images_per_s = self._images_seen / (time.perf_counter() - self._started)
            self._report(self.step, values | {"images_per_s": images_per_s})

    def note_validation(self, values: dict[str, float]) -> None:
        """Note what was measured after an epoch, and stop early where it no longer gets better."""
        self._note(values)
        self._report(self.step, values)
        patience = self.settings.patience_epochs
        if values["validation_loss"] < self.progress.best_loss:
            self.progress.best_loss, self.progress.best_epoch = values["validation_loss"], self.epoch
            if patience:
                self._best = copy.deepcopy(self.model.state_dict())
        if patience and self.epoch - self.progress.best_epoch >= patience:
            self.progress.stopped = True

    def keep(self) -> None:
        """Save a running checkpoint, where one is due."""
        if self._folder and (self.step % self.settings.checkpoint_every_steps == 0 or self.is_over):
            tensors = pack_state(self.model, self.optimizer, self._best)
            save_running(self._folder, RunningState(self.step, tensors, vars(self.progress)))

    def weights(self) -> dict[str, Tensor]:
        """Copy the weights to the CPU: with early stopping those of the best epoch, else the last."""
        final = self._best or self.model.state_dict()
        return {name: value.detach().cpu().clone() for name, value in final.items()}

    def _note(self, values: dict[str, float]) -> None:
        self.progress.history += [
            {"step": self.step, "epoch": self.epoch, "name": name, "value": value} for name, value in values.items()
        ]
