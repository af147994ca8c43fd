"""Robustness: probes trained on intact rows, tested on rows whose metadata are missing or wrong."""

from functools import partial

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.changed_metadata import read_changed
from slimp_pipeline.evaluation.audits.perturbation import conditions, perturbed_rows
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick, summarise, yardsticks
from slimp_pipeline.evaluation.measures.records import Key
from slimp_pipeline.evaluation.parallel import in_parallel
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Task, make_task
from slimp_pipeline.parameters import EvaluationParams

ROBUSTNESS_COLUMNS = [
    "cohort", "method", "features", "kind", "share", "metric", "value", "ci_low", "ci_high", "num_test_patients",
]  # fmt: skip


def measure_robustness(target: TargetCohort, fields: dict[str, FieldSpec], settings: EvaluationParams) -> pd.DataFrame:
    """Measure linear probes on all features, and on one-hot metadata, as test metadata get worse.

    Images stay as they are. Compared are the pre-trained encoders, the model that they started from (untrained
    metadata encoders; for an adapted encoder with the target's fields), and `metadata_linear`.

    Returns:
        `ROBUSTNESS_COLUMNS`; kind and share as `perturbation.Condition` has them, values means over folds and draws.
        No rows where it isn't asked for.
    """
    if "robustness" not in settings.protocols:
        return pd.DataFrame(columns=ROBUSTNESS_COLUMNS)
    task, labelled = make_task(target.rows, target.splits, settings)
    work = partial(_measure_fold, target, task, labelled, fields, settings)
    folds, title = list(yardsticks(task, target.name, settings)), f"Spoiling metadata of {target.name}"
    of_folds = in_parallel(work, folds, len(task.rows), settings, title)
    measured = [one for of_fold in of_folds for one in of_fold]
    if not measured:
        return pd.DataFrame(columns=ROBUSTNESS_COLUMNS)
    results, _ = summarise(target.name, measured, settings.confidence)
    results = results[results["draw"].isin(["all", "holdout"])].drop_duplicates(["method", "shots", "metric"])
    kind_and_share = results["shots"].str.split("|", expand=True)
    results = results.assign(kind=kind_and_share[0], share=kind_and_share[1].astype(float))
    return results[ROBUSTNESS_COLUMNS].reset_index(drop=True)


def _measure_fold(
    target: TargetCohort,
    task: Task,
    labelled: np.ndarray,
    fields: dict[str, FieldSpec],
    settings: EvaluationParams,
    yardstick: Yardstick,
) -> list[Measured]:
    split, measured = yardstick.split, []
    frames = [
        (condition, perturbed_rows(task.rows, fields, condition, split.train_N, settings.seed))
        for condition in conditions(settings.robustness)
    ]
    changed = [frame[split.test_N] for _, frame in frames]
    for tested in read_changed(target, labelled, task.rows, split, changed, settings, with_starts=True):
        for (condition, _), score_NK in zip(frames, tested.scores(task, split, settings), strict=True):
            key = Key(tested.method, tested.features, "linear_probe", f"{condition.kind}|{condition.share}")
            measured.append(yardstick.measure(key, score_NK, split.train_N, condition.draw))
    return measured
