"""What is trained on frozen features and scored, protocol by protocol, on one split."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.sets import Features
from slimp_pipeline.evaluation.measures.calibration import rescale
from slimp_pipeline.evaluation.measures.records import Key
from slimp_pipeline.evaluation.protocols.gbdt import gbdt_scores
from slimp_pipeline.evaluation.protocols.knn import knn_votes
from slimp_pipeline.evaluation.protocols.low_shot import low_shot_draws
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.task import Split, Task
from slimp_pipeline.parameters import EvaluationParams, ProbeParams, Protocol
from slimp_pipeline.training.device import pick_device

_LOW_SHOT_FEATURES = ("image", "image+lesion+patient")


class Scored(NamedTuple):
    """Scores of a split's test rows."""

    key: Key
    score_NK: np.ndarray
    train_N: np.ndarray  # the rows that it was trained on
    repeat: int = 0  # number of the draw, where training rows are drawn several times


Scorer = Callable[[Task, Features, Split, EvaluationParams], Iterator[Scored]]


def score_linear_probe(task: Task, features: Features, split: Split, settings: EvaluationParams) -> Iterator[Scored]:
    """Linear probe of every method and feature set, as it is and calibrated by a temperature."""
    for method, feature_set, feature_ND in _every(features, split, settings.features):
        probe = fit_task_probe(task, feature_ND[split.train_N], split.train_N, settings)
        score_NK = probe.scores(feature_ND[split.test_N])
        yield Scored(Key(method, feature_set, "linear_probe"), score_NK, split.train_N)
        calibrated_NK = rescale(score_NK, probe.temperature)
        yield Scored(Key(method, feature_set, "linear_probe_calibrated"), calibrated_NK, split.train_N)


def score_knn(task: Task, features: Features, split: Split, settings: EvaluationParams) -> Iterator[Scored]:
    """k-NN of every method and feature set, its votes plain and weighted by prior."""
    chosen, device = settings.probe, pick_device(settings.device)
    for method, feature_set, feature_ND in _every(features, split, settings.features):
        votes = knn_votes(
            feature_ND,
            task.label_N,
            split.train_N,
            split.test_N,
            len(task.classes),
            chosen.num_neighbours,
            chosen.max_voters,
            settings.seed,
            device,
        )
        yield Scored(Key(method, feature_set, "knn"), votes.shares(), split.train_N)
        yield Scored(Key(method, feature_set, "knn_prior_weighted"), votes.prior_weighted_shares(), split.train_N)


def score_baselines(task: Task, features: Features, split: Split, settings: EvaluationParams) -> Iterator[Scored]:
    """Metadata alone (linear; gradient boosting), with what is relative to the patient, and with image embeddings."""
    metadata_NF = features.metadata(split)
    if metadata_NF is None:
        return
    probe = fit_task_probe(task, metadata_NF[split.train_N], split.train_N, settings)
    score_NK = probe.scores(metadata_NF[split.test_N])
    yield Scored(Key("metadata_linear", "metadata", "baseline"), score_NK, split.train_N)
    yield Scored(
        Key("metadata_gbdt", "metadata", "baseline"), _boost(task, metadata_NF, split, settings), split.train_N
    )
    relative_NF = features.patient_relative(split)
    if relative_NF is not None:
        both_NF = np.concatenate([metadata_NF, relative_NF], axis=1)
        score_NK = _boost(task, both_NF, split, settings)
        yield Scored(Key("ugly_duckling_gbdt", "metadata", "baseline"), score_NK, split.train_N)
    image_ND = features.block(features.start, "image", split)
    if image_ND is not None:
        both_ND = np.concatenate([image_ND, metadata_NF], axis=1)
        score_NK = _boost(task, both_ND, split, settings)
        yield Scored(Key("fused_gbdt", "image+metadata", "baseline"), score_NK, split.train_N)


def score_low_shot(task: Task, features: Features, split: Split, settings: EvaluationParams) -> Iterator[Scored]:
    """Linear probes on few training rows, several draws of each size; their strength is fixed."""
    patients = task.rows["patient_id"].to_numpy()
    probe = ProbeParams(strengths=[settings.low_shot.strength])  # one: there is nothing to choose
    few_labels = settings.model_copy(update={"probe": probe})
    draws = list(low_shot_draws(task.label_N, patients, split.train_N, settings.low_shot, settings.seed))
    for method in features.methods:
        for feature_set in _LOW_SHOT_FEATURES:
            blocks = features.blocks(method, feature_set, split)
            tested = [block_ND[split.test_N] for block_ND in blocks]
            for drawn in draws if blocks else ():
                few = [block_ND[drawn.rows_N] for block_ND in blocks]
                scaling = Scaling.fit(few)  # by the rows drawn alone
                fitted = fit_task_probe(task, scaling(few), drawn.rows_N, few_labels)
                score_NK = fitted.scores(scaling(tested))
                yield Scored(Key(method, feature_set, "low_shot", drawn.shots), score_NK, drawn.rows_N, drawn.draw)


SCORERS: dict[Protocol, Scorer] = {
    "linear_probe": score_linear_probe,
    "knn": score_knn,
    "baselines": score_baselines,
    "low_shot": score_low_shot,
}


def _every(features: Features, split: Split, feature_sets: Sequence[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    for method in features.methods:
        for feature_set in feature_sets:
            feature_ND = features.of(method, feature_set, split)
            if feature_ND is not None:
                yield method, feature_set, feature_ND


def _boost(task: Task, feature_ND: np.ndarray, split: Split, settings: EvaluationParams) -> np.ndarray:
    patients, num_classes = task.rows["patient_id"].to_numpy(), len(task.classes)
    return gbdt_scores(feature_ND, task.label_N, patients, split.train_N, split.test_N, num_classes, settings.seed)
