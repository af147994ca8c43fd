"""What is trained on frozen features and scored, protocol by protocol, on one split."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.sets import Features, Sides
from slimp_pipeline.evaluation.measures.calibration import rescale, reweight
from slimp_pipeline.evaluation.measures.records import Key
from slimp_pipeline.evaluation.protocols.gbdt import gbdt_scores
from slimp_pipeline.evaluation.protocols.knn import knn_votes
from slimp_pipeline.evaluation.protocols.low_shot import LowShotDraw, low_shot_draws
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.task import Split, Task
from slimp_pipeline.parameters import EvaluationParams, ProbeParams, Protocol
from slimp_pipeline.training.device import pick_device

LOW_SHOT_FEATURES = ("image", "image+lesion+patient")


class Scored(NamedTuple):
    """Scores of a split's test rows."""

    key: Key
    score_NK: np.ndarray


def score_linear_probe(task: Task, sides: Sides, split: Split, settings: EvaluationParams) -> dict[str, np.ndarray]:
    """Linear probe, as it is, calibrated by a temperature, and with class weights for macro-F1."""
    probe = fit_task_probe(task, sides.train_ND, split.train_N, settings, calibrated=True)
    score_NK = probe.scores(sides.test_ND)
    scored = {"linear_probe": score_NK, "linear_probe_calibrated": rescale(score_NK, probe.temperature)}
    weighted = {"linear_probe_f1": reweight(score_NK, probe.weight_K)} if settings.probe.for_macro_f1 else {}
    return scored | weighted


def score_knn(task: Task, sides: Sides, split: Split, settings: EvaluationParams) -> dict[str, np.ndarray]:
    """k-NN, its votes plain and weighted by prior."""
    chosen, device = settings.probe, pick_device(settings.device)
    votes = knn_votes(
        sides.train_ND,
        task.label_N[split.train_N],
        sides.test_ND,
        len(task.classes),
        chosen.num_neighbours,
        chosen.max_voters,
        settings.seed,
        device,
    )
    return {"knn": votes.shares(), "knn_prior_weighted": votes.prior_weighted_shares()}


def score_baselines(task: Task, features: Features, split: Split, settings: EvaluationParams) -> Iterator[Scored]:
    """Metadata alone (linear; gradient boosting), with what is relative to the patient, and with image embeddings."""
    metadata_NF = features.metadata(split)
    if metadata_NF is None:
        return
    probe = fit_task_probe(task, metadata_NF[split.train_N], split.train_N, settings)
    yield Scored(Key("metadata_linear", "metadata", "baseline"), probe.scores(metadata_NF[split.test_N]))
    yield Scored(Key("metadata_gbdt", "metadata", "baseline"), _boost(task, [metadata_NF], split, settings))
    relative_NF = features.patient_relative(split)
    if relative_NF is not None:
        score_NK = _boost(task, [metadata_NF, relative_NF], split, settings)
        yield Scored(Key("ugly_duckling_gbdt", "metadata", "baseline"), score_NK)
    image_ND = features.block(features.start, "image", split)
    if image_ND is not None:
        score_NK = _boost(task, [image_ND, metadata_NF], split, settings)
        yield Scored(Key("fused_gbdt", "image+metadata", "baseline"), score_NK)


def score_low_shot(
    task: Task, sides: Sides, split: Split, settings: EvaluationParams
) -> Iterator[tuple[LowShotDraw, np.ndarray]]:
    """Linear probes on few training rows, several draws of each size; their strength is fixed."""
    patients = task.rows["patient_id"].to_numpy()
    probe = ProbeParams(strengths=[settings.low_shot.strength])  # one: there is nothing to choose
    few_labels = settings.model_copy(update={"probe": probe})
    blocks = sides.train_blocks()
    for drawn in low_shot_draws(task.label_N, patients, split.train_N, settings.low_shot, settings.seed):
        few_N = drawn.rows_N[split.train_N]
        scaling = Scaling.fit(blocks, few_N)  # by the rows drawn alone
        fitted = fit_task_probe(task, scaling(blocks, few_N), drawn.rows_N, few_labels)
        yield drawn, fitted.of_unscaled(scaling).scores(sides.test_ND)


SCORERS: dict[Protocol, Callable[[Task, Sides, Split, EvaluationParams], dict[str, np.ndarray]]] = {
    "linear_probe": score_linear_probe,
    "knn": score_knn,
}
"""Of every method and feature set: scores of the test rows, by the protocol's name in tables."""


def _boost(task: Task, blocks_ND: list[np.ndarray], split: Split, settings: EvaluationParams) -> np.ndarray:
    patients, num_classes = task.rows["patient_id"].to_numpy(), len(task.classes)
    return gbdt_scores(blocks_ND, task.label_N, patients, split.train_N, split.test_N, num_classes, settings.seed)
