"""Robustness: probes trained on intact rows, tested on rows whose metadata are missing or wrong."""

from functools import partial

import pandas as pd

from slimp_pipeline.evaluation.audits.changed_metadata import read_changed
from slimp_pipeline.evaluation.audits.folds import measure_folds
from slimp_pipeline.evaluation.audits.perturbation import conditions, perturbed_rows
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick
from slimp_pipeline.evaluation.measures.records import Key
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.parameters import EvaluationParams

ROBUSTNESS_COLUMNS = [
    "cohort", "method", "features", "kind", "share", "metric", "value", "ci_low", "ci_high", "num_test_patients",
]  # fmt: skip


def measure_robustness(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Measure linear probes on all features, and on one-hot metadata, as test metadata get worse.

    Images stay as they are. Compared are the pre-trained encoders, the model that they started from (untrained
    metadata encoders; for an adapted encoder with the target's fields), and `metadata_linear`.

    Returns:
        `ROBUSTNESS_COLUMNS`; kind and share as `perturbation.Condition` has them, values means over folds and draws.
        No rows where it isn't asked for.
    """
    if "robustness" not in settings.protocols:
        return pd.DataFrame(columns=ROBUSTNESS_COLUMNS)
    work = partial(_measure_fold, target, settings)
    results, _ = measure_folds(work, target, settings, f"Spoiling metadata of {target.name}")
    if results.empty:
        return pd.DataFrame(columns=ROBUSTNESS_COLUMNS)
    kind_and_share = results["shots"].str.split("|", expand=True)
    results = results.assign(kind=kind_and_share[0], share=kind_and_share[1].astype(float))
    return results[ROBUSTNESS_COLUMNS].reset_index(drop=True)


def _measure_fold(target: TargetCohort, settings: EvaluationParams, task: Task, yardstick: Yardstick) -> list[Measured]:
    split, measured = yardstick.split, []
    frames = [
        (condition, perturbed_rows(task.rows, target.fields, condition, split.train_N, settings.seed))
        for condition in conditions(settings.robustness, target.fields)
    ]
    changed = [frame[split.test_N] for _, frame in frames]
    for tested in read_changed(target, task, split, changed, settings, with_starts=True):
        for (condition, _), score_NK in zip(frames, tested.scores(task, split, settings), strict=True):
            key = Key(tested.method, tested.features, "linear_probe", f"{condition.kind}|{condition.share}")
            measured.append(yardstick.measure(key, score_NK, split.train_N, condition.draw))
    return measured
