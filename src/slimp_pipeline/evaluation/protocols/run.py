"""The evaluation protocol: every method, feature set and protocol on the same patient-disjoint partitions."""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import TypeVar

import pandas as pd

from slimp_pipeline.evaluation.features.sets import Features
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick, measured_table, yardsticks
from slimp_pipeline.evaluation.measures.records import Key, join_tables, prediction_table
from slimp_pipeline.evaluation.parallel import in_parallel
from slimp_pipeline.evaluation.protocols.scorers import LOW_SHOT_FEATURES, SCORERS, score_baselines, score_low_shot
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task, make_task, task_splits
from slimp_pipeline.parameters import EvaluationParams, Protocol

Fold = TypeVar("Fold", Split, Yardstick)
Tables = list[tuple[Protocol, pd.DataFrame]]


def predict(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Train on the training rows of every partition, by every protocol asked for but low-shot, and score its test rows.

    Args:
        target: Rows, splits, embeddings, encodings.
        settings: Protocols and their settings.

    Returns:
        Predictions, as `records.prediction_table` has them: one row per score of a test row.

    Raises:
        ValueError: If the cohort has no label or one class, or a partition's training patients are of one class.
    """
    task = make_task(target.rows, target.splits, settings)
    features = Features(target, task)
    splits, tables = list(task_splits(task, target.name)), Tables()
    if set(SCORERS) & set(settings.protocols):
        work, parts = partial(_score, task, features, settings), _parts(splits, features, settings.features)
        for of_part in in_parallel(work, parts, len(task.rows), settings, f"Evaluating on {target.name}"):
            tables += of_part
    if "baselines" in settings.protocols:
        work = partial(_score_baselines, task, features, settings)
        for of_split in in_parallel(work, splits, len(task.rows), settings, f"Baselines on {target.name}"):
            tables += of_split
    return join_tables([table for name in settings.protocols for protocol, table in tables if protocol == name])


def measure_low_shot(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Train on few rows of every partition, and measure each probe as it comes.

    A test row is scored hundreds of times: tables of these scores would be the largest of an evaluation.

    Args:
        target, settings: As of `predict`.

    Returns:
        As `measure.measured_table` has them; no rows where low-shot isn't asked for.
    """
    if "low_shot" not in settings.protocols:
        return measured_table([])
    task = make_task(target.rows, target.splits, settings)
    features, folds = Features(target, task), list(yardsticks(task, target.name, settings))
    work, parts = partial(_measure_low_shot, task, features, settings), _parts(folds, features, LOW_SHOT_FEATURES)
    measured = in_parallel(work, parts, len(task.rows), settings, f"Few labels on {target.name}")
    return measured_table([one for of_part in measured for one in of_part])


def _parts(folds: Sequence[Fold], features: Features, feature_sets: Sequence[str]) -> list[tuple[Fold, str, str]]:
    """Fold, method, feature set."""
    return list(product(folds, features.methods, feature_sets))


def _score(task: Task, features: Features, settings: EvaluationParams, part: tuple[Split, str, str]) -> Tables:
    split, method, feature_set = part
    # What costs most of a protocol's time beside its fit is to make the features: they are made once.
    sides = features.of(method, feature_set, split)
    return [
        (name, prediction_table(task, Key(method, feature_set, protocol), split, score_NK))
        for name in settings.protocols
        if sides is not None and name in SCORERS
        for protocol, score_NK in SCORERS[name](task, sides, split, settings).items()
    ]


def _score_baselines(task: Task, features: Features, settings: EvaluationParams, split: Split) -> Tables:
    scored = score_baselines(task, features, split, settings)
    return [("baselines", prediction_table(task, key, split, score_NK)) for key, score_NK in scored]


def _measure_low_shot(
    task: Task, features: Features, settings: EvaluationParams, part: tuple[Yardstick, str, str]
) -> list[Measured]:
    yardstick, method, feature_set = part
    sides = features.of(method, feature_set, yardstick.split)
    if sides is None:
        return []
    return [
        yardstick.measure(Key(method, feature_set, "low_shot", drawn.shots), score_NK, drawn.rows_N, drawn.draw)
        for drawn, score_NK in score_low_shot(task, sides, yardstick.split, settings)
    ]
