"""Permutation importance: what a trained probe loses on test rows when one field's values go to other patients."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.changed_metadata import read_changed
from slimp_pipeline.evaluation.audits.folds import measure_folds
from slimp_pipeline.evaluation.measures.bootstrap import estimate
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick, average_over_draws
from slimp_pipeline.evaluation.measures.records import Key
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.levels import owner_numbers

IMPORTANCE_COLUMNS = [
    "cohort", "method", "features", "field", "level", "metric", "intact", "drop", "ci_low", "ci_high", "num_draws",
    "num_test_patients",
]  # fmt: skip
METRICS = ("balanced_accuracy", "macro_auroc", "malignant_auroc")
_INTACT = ""  # in the place of a field


def measure_importance(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Measure how much linear probes on all features, and on one-hot metadata, rest on each field.

    Probes are trained on intact rows. Of the test rows one field at a time is permuted between its owners, the columns
    of a checkbox together: a patient-level field between patients, whose rows all get the one value; a lesion-level
    field between rows, with three levels between lesions likewise. Importance is what a metric drops by, paired on the
    same resamples; near 0 where the probe does without the field, or other fields tell the same.

    Args:
        target: Rows, splits, embeddings, encodings, encoders, fields.
        settings: Number of draws; 0: nothing is measured.

    Returns:
        `IMPORTANCE_COLUMNS`, a row per method, field that it reads, and metric of `METRICS` that can be measured;
        means over folds and draws, with intervals by bootstrap over patients within folds.

    Source:
        Breiman 2001, Machine Learning 45:5-32.
    """
    rows = target.rows
    asked = {name: field for name, field in target.fields.items() if set(field.table_columns(name)) <= set(rows)}
    if not settings.importance.num_draws or not asked:
        return pd.DataFrame(columns=IMPORTANCE_COLUMNS)
    work = partial(_measure_fold, target, asked, settings)
    results, averaged = measure_folds(work, target, settings, f"Permuting fields of {target.name}")
    num_patients = results["num_test_patients"].max()
    table = []
    for key, permuted in averaged.items():
        intact = averaged[key._replace(shots=_INTACT)]
        for metric in METRICS if key.shots != _INTACT else ():
            if metric in intact and not np.isnan(intact[metric][0]):
                drop_R = np.round(intact[metric] - permuted[metric], 12)  # of a field that isn't known: 0
                drop = estimate(drop_R, settings.confidence)
                place = [target.name, key.method, key.features, key.shots, asked[key.shots].level, metric]
                table.append([*place, intact[metric][0], *drop, settings.importance.num_draws, num_patients])
    return pd.DataFrame(table, columns=IMPORTANCE_COLUMNS)


def permuted_rows(
    rows: pd.DataFrame, columns: Sequence[str], owner_N: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Return a copy of rows, of which one field's values have changed places between their owners.

    Args:
        rows: N rows.
        columns: Of the field.
        owner_N: As `levels.owner_numbers` gives it.
        rng: Of the draw.
    """
    first_O = np.unique(owner_N, return_index=True)[1]
    donor_N = first_O[rng.permutation(len(first_O))][owner_N]
    return rows.assign(**{column: rows[column].array[donor_N] for column in columns})


def _measure_fold(
    target: TargetCohort,
    fields: dict[str, FieldSpec],
    settings: EvaluationParams,
    task: Task,
    yardstick: Yardstick,
) -> list[Measured]:
    split, test = yardstick.split, task.rows[yardstick.split.test_N]
    changes, frames = [_INTACT], [test]
    owners = owner_numbers(test, fields)
    for number, (name, field) in enumerate(fields.items()):
        for draw in range(settings.importance.num_draws):
            rng = np.random.default_rng([settings.seed, number, draw])
            changes.append(name)
            frames.append(permuted_rows(test, field.table_columns(name), owners[name], rng))
    measured = []
    for tested in read_changed(target, task, split, frames, settings, with_starts=False):
        of_change: dict[str, list[Measured]] = {}
        for change, score_NK in zip(changes, tested.scores(task, split, settings), strict=True):
            if change == _INTACT or change in tested.fields:
                key = Key(tested.method, tested.features, "linear_probe", change)
                of_change.setdefault(change, []).append(yardstick.measure(key, score_NK, split.train_N))
        for first, *others in of_change.values():
            values = average_over_draws([first, *others], settings.confidence)
            kept = {metric: value for metric, value in values.items() if metric in METRICS}
            measured.append(Measured(first.key, first.draw, 0, first.sizes, kept))
    return measured
