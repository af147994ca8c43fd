"""How good an encoder is while it trains: linear probes from inner training to inner validation patients.

Several cohorts are measured each by itself, with its own labels and probe, and the mean counts: our choice. In one
probe for all, an encoder that tells nothing but the cohorts apart would tell many of their labels apart.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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
from slimp_pipeline.search.rows import TRAINING, VALIDATION
from slimp_pipeline.tables.encoding import Encoding
from slimp_pipeline.training.device import pick_device
from slimp_pipeline.training.pretrain import Cohort

logger = logging.getLogger(__name__)
_KEY = Key("trial", "image", "linear_probe")


@dataclass(frozen=True)
class InnerProbe:
    """A linear probe on image embeddings of one cohort, fitted on labelled rows of inner training patients.

    Attributes:
        yardstick: The labelled rows of inner validation patients, by which it is measured.
        metric: By which.
        settings: Label, unit, probe, device.
    """

    yardstick: Yardstick
    metric: Metric
    settings: EvaluationParams

    @classmethod
    def of(
        cls, cohort: str, rows: pd.DataFrame, splits: pd.DataFrame, metric: Metric, settings: EvaluationParams
    ) -> "InnerProbe":
        """Gather the labelled rows.

        Args:
            cohort: Its name.
            rows: Its rows, as `evaluation_rows` makes them.
            splits: The inner split, as the split of a hold-out: inner validation patients are its `test`.
            metric: By which it is measured.
            settings: As above.

        Raises:
            ValueError: If there is nothing to tell apart, or the metric can't be measured; says why.
        """
        task = make_task(rows, splits, settings)
        trains_N = task.rows["split"].eq("train")
        for part, own_N in ((TRAINING, trains_N), (VALIDATION, ~trains_N)):
            if len(np.unique(task.label_N[own_N])) < 2:
                raise ValueError(
                    f"the labels of its inner {part} patients aren't of two classes (evaluation.label is "
                    f"{settings.label}). Take another label, or another search.seed."
                )
        (yardstick,) = yardsticks(task, cohort, settings)
        probe = cls(yardstick, metric, settings)
        chance_NK = np.full((int(yardstick.split.test_N.sum()), len(task.classes)), 1 / len(task.classes))
        if len(np.unique(yardstick.units.label_U)) < 2 or np.isnan(probe._value(chance_NK)):
            raise ValueError(
                f"search.metric is {metric}, which its inner validation patients can't be measured by: by "
                f"{settings.unit} they aren't of two classes, or, for malignancy, of both kinds. Take another metric, "
                "or another search.seed."
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
class InnerProbes:
    """The probe of each cohort of a source that can be measured; of a source that is one cohort, its only one.

    Attributes:
        by_cohort: Name -> probe.
        store: The images.
        metric: By which.
        settings: Label, unit, probe, device.
    """

    by_cohort: Mapping[str, InnerProbe]
    store: ImageStore
    metric: Metric
    settings: EvaluationParams

    @classmethod
    def of(
        cls,
        source: Cohort,
        search_rows: pd.DataFrame,
        store: ImageStore,
        metric: Metric,
        settings: EvaluationParams,
    ) -> "InnerProbes":
        """Gather each cohort's labelled rows; cohorts that can't be measured are named in the log, and why.

        Raises:
            ValueError: If none can be measured; says why.
        """
        settings = settings.model_copy(update={"num_resamples": 0})  # the value itself is all that is asked for
        sides = np.where(search_rows["part"] == TRAINING, "train", "test")
        splits = search_rows.drop(columns="part").assign(split=sides, fold=-1)
        names = source.lesions.get("cohort", pd.Series(source.name, index=source.lesions.index))
        probes, reasons = {}, []
        for name, lesions in source.lesions.groupby(names):
            rows = evaluation_rows(lesions, source.patients, splits)
            try:
                probes[str(name)] = InnerProbe.of(str(name), rows, splits, metric, settings)
            except ValueError as error:
                reasons.append(f"{name} can't measure trials: {error}")
        if not probes:
            raise ValueError(" ".join(reasons))
        for reason in reasons:
            logger.warning("%s Trials are trained on it all the same", reason)
        return cls(probes, store, metric, settings)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The labelled rows, those of one cohort after the other's."""
        return pd.concat([probe.yardstick.task.rows for probe in self.by_cohort.values()], ignore_index=True)

    def __call__(self, image_ND: np.ndarray) -> float:
        """Measure embeddings of the labelled rows, float (N, D): the mean over cohorts."""
        ends = np.cumsum([len(probe.yardstick.task.rows) for probe in self.by_cohort.values()])
        parts = np.split(image_ND, ends[:-1])
        return float(np.mean([probe(own) for probe, own in zip(self.by_cohort.values(), parts, strict=True)]))


@dataclass(frozen=True)
class TrialJudge:
    """Measures the model of one trial as it trains.

    Attributes:
        probes: Of the search.
        model, loss, encoding: What the trial's model was built with.
    """

    probes: InnerProbes
    model: ModelParams
    loss: LossParams
    encoding: Encoding

    def __call__(self, model: SLIMP) -> dict[str, float]:
        """Measure what its image encoder is worth at present: metric -> value."""
        probes = self.probes
        checkpoint = Checkpoint(model.state_dict(), self.model, self.loss, self.encoding, {})
        encoder = PretrainedSLIMP(checkpoint, pick_device(probes.settings.device), probes.settings.batch_size)
        embedded = embed_images({"trial": encoder}, probes.rows, probes.store, probes.settings, "inner patients")
        return {probes.metric: probes(embedded["trial"])}
