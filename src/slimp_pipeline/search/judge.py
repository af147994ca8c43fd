"""How good an encoder is while it trains: a linear probe from inner training to inner validation patients."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.embed import embed_images, evaluation_rows
from slimp_pipeline.evaluation.measures.measure import Yardstick, yardsticks
from slimp_pipeline.evaluation.measures.records import Key
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.task import make_task
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import EvaluationParams, LossParams, ModelParams
from slimp_pipeline.parameters.search import Metric
from slimp_pipeline.search.rows import TRAINING
from slimp_pipeline.tables.encoding import Encoding
from slimp_pipeline.training.device import pick_device

_KEY = Key("trial", "image", "linear_probe")


@dataclass(frozen=True)
class InnerProbe:
    """A linear probe on image embeddings, fitted on labelled rows of inner training patients.

    Attributes:
        yardstick: The labelled rows of inner validation patients, by which it is measured.
        store: Their images.
        metric: By which.
        settings: Label, unit, probe, device.
    """

    yardstick: Yardstick
    store: ImageStore
    metric: Metric
    settings: EvaluationParams

    @classmethod
    def of(
        cls,
        cohort: str,
        lesions: pd.DataFrame,
        patients: pd.DataFrame,
        search_rows: pd.DataFrame,
        store: ImageStore,
        metric: Metric,
        settings: EvaluationParams,
    ) -> "InnerProbe":
        """Gather the labelled rows.

        Raises:
            ValueError: If there is nothing to tell apart, or the metric can't be measured.
        """
        settings = settings.model_copy(update={"num_resamples": 0})  # the value itself is all that is asked for
        sides = np.where(search_rows["part"] == TRAINING, "train", "test")
        splits = search_rows.drop(columns="part").assign(split=sides, fold=-1)
        task = make_task(evaluation_rows(lesions, patients, splits), splits, settings)
        found = list(yardsticks(task, cohort, settings))
        if not found:
            raise ValueError(f"cohort {cohort}: no inner validation patient has a label. Set search.seed to another.")
        probe = cls(found[0], store, metric, settings)
        chance_NK = np.full((int(found[0].split.test_N.sum()), len(task.classes)), 1 / len(task.classes))
        if np.isnan(probe._value(chance_NK)):
            raise ValueError(
                f"search.metric is {metric}, which inner validation patients of {cohort} can't be measured by: they "
                "aren't of two classes, malignant and not. Take another metric, or another search.seed."
            )
        return probe

    def __call__(self, image_ND: np.ndarray) -> float:
        """Measure embeddings of the labelled rows, float (N, D)."""
        task, split = self.yardstick.task, self.yardstick.split
        scaling = Scaling.fit([image_ND], split.train_N)
        probe = fit_task_probe(task, scaling([image_ND], split.train_N), split.train_N, self.settings)
        return self._value(probe.scores(scaling([image_ND], split.test_N)))

    def _value(self, score_NK: np.ndarray) -> float:
        measured = self.yardstick.measure(_KEY, score_NK, self.yardstick.split.train_N).by_metric
        return float(measured[self.metric][0]) if self.metric in measured else float("nan")


@dataclass(frozen=True)
class TrialJudge:
    """Measures the model of one trial as it trains.

    Attributes:
        probe: Of the search.
        model, loss, encoding: What the trial's model was built with.
    """

    probe: InnerProbe
    model: ModelParams
    loss: LossParams
    encoding: Encoding

    def __call__(self, model: SLIMP) -> dict[str, float]:
        """Measure what its image encoder is worth at present: metric -> value."""
        probe = self.probe
        checkpoint = Checkpoint(model.state_dict(), self.model, self.loss, self.encoding, {})
        encoder = PretrainedSLIMP(checkpoint, pick_device(probe.settings.device), probe.settings.batch_size)
        rows = probe.yardstick.task.rows
        embedded = embed_images({"trial": encoder}, rows, probe.store, probe.settings, "inner patients")
        return {probe.metric: probe(embedded["trial"])}
