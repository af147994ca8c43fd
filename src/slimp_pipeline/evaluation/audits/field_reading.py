"""How well each field is read from the image alone, and what it adds to the diagnosis over the image."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.folds import measure_folds
from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.embed import STARTS, block, methods
from slimp_pipeline.evaluation.measures.bootstrap import estimate
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick
from slimp_pipeline.evaluation.measures.metrics import classification_metrics
from slimp_pipeline.evaluation.measures.records import METRIC_BOUNDS, Averaged, Key, is_pretrained
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding, one_hot

READING_COLUMNS = [
    "cohort", "method", "field", "level", "question", "metric", "value", "ci_low", "ci_high", "num_test_patients",
]  # fmt: skip
READ, ADDS = "read from the image", "adds to the image"
NUISANCE = "nuisance"  # in the place of a level
_IMAGE = ""  # in the place of a field: the image alone
_ADDED = ("balanced_accuracy", "macro_auroc")
_FEWEST = 2  # patients of a category that trains


def measure_reading(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Ask every field of the frozen image embeddings, nuisance fields too, and what a feature adds to them.

    Asked are the pre-trained encoders and what they started from, by linear probes of one strength
    (`low_shot.strength`: choosing one for each field would take hours). Numbers are read as above or below the median
    of the training rows, an option of a checkbox group as ticked or not, both where they are known.

    Args:
        target: Rows, splits, embeddings, encodings, fields, nuisance.
        settings: Whether to (`field_reading`), resamples, confidence.

    Returns:
        `READING_COLUMNS`: by method and field (`<group>.<option>` of a checkbox group; level `NUISANCE` of nuisance),
        `READ`, a macro one-vs-rest AUROC (0.5: not at all); and by method and field, `ADDS`, the difference that the
        field makes to the diagnosis. Means over folds, intervals by bootstrap over patients within folds. Pictures are
        measured, whatever the unit.
    """
    asked = [name for name in methods(target.embeddings) if name in STARTS or is_pretrained(name)]
    fields = {**target.fields, **target.nuisance}
    if not settings.field_reading or not fields:
        return pd.DataFrame(columns=READING_COLUMNS)
    probe = settings.probe.model_copy(update={"strengths": [settings.low_shot.strength]})
    by_picture = settings.model_copy(update={"probe": probe, "unit": "image"})
    work = partial(_measure_fold, target, asked, by_picture)
    results, averaged = measure_folds(work, target, by_picture, f"Reading fields of {target.name}")
    num_patients = results.groupby(["method", "shots", "features"])["num_test_patients"].max()
    level_of: dict[str, str] = {}
    for name, field in fields.items():
        level = NUISANCE if field.nuisance else field.level
        level_of |= dict.fromkeys((name, *field.table_columns(name)), level)
    table = [
        [
            target.name,
            key.method,
            key.shots,
            level_of[key.shots],
            key.features,
            metric,
            *found,
            num_patients[key.method, key.shots, key.features],
        ]
        for key, metric, found in _found(averaged, settings.confidence)
    ]
    return pd.DataFrame(table, columns=READING_COLUMNS)


def _found(averaged: Averaged, confidence: float) -> Iterator[tuple[Key, str, tuple[float, float, float]]]:
    for key, values in averaged.items():
        if key.features == READ:
            yield key, "macro_auroc", estimate(values["macro_auroc"], confidence, METRIC_BOUNDS)
        elif key.shots != _IMAGE:
            image = averaged[key._replace(shots=_IMAGE)]
            for metric in _ADDED:
                yield key, metric, estimate(values[metric] - image[metric], confidence)


def _measure_fold(
    target: TargetCohort, asked: list[str], settings: EvaluationParams, task: Task, yardstick: Yardstick
) -> list[Measured]:
    split, measured = yardstick.split, []
    beside = target.nuisance_rows[task.labelled_M].reset_index(drop=True) if target.nuisance else pd.DataFrame()
    asked_of = replace(task, rows=pd.concat([task.rows, beside], axis=1))
    for method in asked:
        image_ND = block(target.embeddings, method, split.name, "image")
        if image_ND is None:
            continue
        image_ND = image_ND[task.labelled_M]
        for name, field in {**target.fields, **target.nuisance}.items():
            for column in field.table_columns(name):
                measured += _read(method, column, field, image_ND, asked_of, yardstick, settings)
        for name, added in [(_IMAGE, []), *_one_by_one(target.encodings[split.name], task.rows)]:
            features = [image_ND, *added]
            scaling = Scaling.fit(features, split.train_N)
            probe = fit_task_probe(task, scaling(features, split.train_N), split.train_N, settings)
            key = Key(method, ADDS, "linear_probe", name)
            measured.append(yardstick.measure(key, probe.scores(scaling(features, split.test_N)), split.train_N))
    return measured


def _read(
    method: str,
    column: str,
    field: FieldSpec,
    image_ND: np.ndarray,
    task: Task,
    yardstick: Yardstick,
    settings: EvaluationParams,
) -> list[Measured]:
    """One field, or option, read from images; nothing where a fold has not two values of it to train and to test."""
    split = yardstick.split
    if column not in task.rows:
        return []
    label_N, classes = _classes(task.rows, column, field, split.train_N)
    train_N, test_N = split.train_N & (label_N >= 0), split.test_N & (label_N >= 0)
    if len(np.unique(label_N[train_N])) < 2 or len(np.unique(label_N[test_N])) < 2:
        return []
    of_field = replace(task, label_N=label_N, classes=classes, malignant_K=np.full(len(classes), -1))
    scaling = Scaling.fit([image_ND], train_N)
    probe = fit_task_probe(of_field, scaling([image_ND], train_N), train_N, settings)
    weightings = yardstick.weightings[np.flatnonzero(test_N[split.test_N])]
    score_NK = probe.scores(scaling([image_ND], test_N))
    values = classification_metrics(score_NK, label_N[test_N], of_field.malignant_K, weightings)
    patients = task.patient_id_N.codes
    sizes = len(np.unique(patients[train_N])), len(np.unique(patients[test_N]))
    key = Key(method, READ, "linear_probe", column)
    return [Measured(key, split.draw, 0, sizes, {"macro_auroc": values["macro_auroc"]})]


def _classes(rows: pd.DataFrame, column: str, field: FieldSpec, train_N: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Class of each row, -1 where its value isn't known or is too rare to train on."""
    values = rows[column]
    if field.kind == "numeric":
        known = values.to_numpy(dtype=float, na_value=np.nan)
        above = known > np.nanmedian(known[train_N]) if (~np.isnan(known[train_N])).any() else np.zeros(len(known))
        return np.where(np.isnan(known), -1, above).astype(np.int64), ["below", "above"]
    texts = values.astype(object).where(values.notna())
    trained = (
        rows.loc[train_N, "patient_id"].groupby(texts[train_N].astype(str).where(values[train_N].notna())).nunique()
    )
    classes = sorted(trained.index[trained >= _FEWEST])
    return pd.Index(classes).get_indexer(texts.astype(str).where(values.notna())), classes


def _one_by_one(encoding: Encoding, rows: pd.DataFrame) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Each field as a block of its own, one-hot."""
    for level in encoding.levels.values():
        for name, field in level.fields.items():
            if any(column in rows for column in level.columns(name)):
                yield name, [one_hot(LevelEncoding(fields={name: field}), rows)]
