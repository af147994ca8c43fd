"""From predictions to results: metrics, their intervals, and paired differences."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.measures.bootstrap import Weightings, drawn_anew, resampled
from slimp_pipeline.evaluation.measures.metrics import classification_metrics
from slimp_pipeline.evaluation.measures.records import (
    RESULT_COLUMNS,
    Averaged,
    Key,
    classes_of,
    difference_table,
    result_rows,
)
from slimp_pipeline.evaluation.measures.units import Units, by_unit
from slimp_pipeline.evaluation.task import Split, Task, task_splits
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.splits import HOLDOUT

Values = dict[str, np.ndarray]  # metric -> its value, then its values on resamples; (1 + R,)
MEASURED_COLUMNS = [*Key._fields, "draw", "repeat", "num_train_patients", "num_test_patients", "resample"]


@dataclass(frozen=True)
class Measured:
    """What one classifier, or one way to retrieve, came to on the test rows of a fold.

    Attributes:
        key: What it is.
        draw: Number of the fold, or `holdout`.
        repeat: Number of the draw of its training rows.
        sizes: Training and test patients.
        by_metric: Of each metric, its value, then its values on resamples.
    """

    key: Key
    draw: str
    repeat: int
    sizes: tuple[int, int]
    by_metric: Values


@dataclass(frozen=True)
class Yardstick:
    """The test rows of a split, by which scores of pictures are measured as they come: they needn't be kept.

    Attributes:
        task: Whose rows they are.
        split: Which of them are tested.
        malignant_K: The classes' groups, -1 for classes that no split tests.
        units: The test rows as units of evaluation.
        weightings: The units as they are and on the resamples that all predictions share.
    """

    task: Task
    split: Split
    malignant_K: np.ndarray
    units: Units
    weightings: Weightings

    def measure(self, key: Key, score_NK: np.ndarray, train_N: np.ndarray, repeat: int = 0) -> Measured:
        """Measure scores of the test rows by what was trained on the rows `train_N`, bool (N,)."""
        patients, test_N = self.task.patient_id_N.codes, self.split.test_N
        sizes = len(np.unique(patients[train_N])), len(np.unique(patients[test_N]))
        score_UK = self.units.pooled(score_NK)
        values = classification_metrics(score_UK, self.units.label_U, self.malignant_K, self.weightings)
        return Measured(key, self.split.draw, repeat, sizes, values)


def yardsticks(task: Task, cohort: str, settings: EvaluationParams) -> Iterator[Yardstick]:
    """One for each split of a task."""
    splits = list(task_splits(task, cohort))
    malignant_K = _of_tested(task.label_N[np.any([split.test_N for split in splits], axis=0)], task.malignant_K)
    units_of = [
        Units.of(task.rows[split.test_N], task.label_N[split.test_N], malignant_K, settings.unit) for split in splits
    ]
    malignant_K = _of_tested(np.concatenate([units.label_U for units in units_of]), malignant_K)
    for position, (split, units) in enumerate(zip(splits, units_of, strict=True)):
        weightings = fold_weightings(task.rows[split.test_N].iloc[units.first_U], settings, position)
        yield Yardstick(task, split, malignant_K, units, weightings)


def _of_tested(label_N: np.ndarray, malignant_K: np.ndarray) -> np.ndarray:
    """The classes' groups, -1 for classes of which there is no label."""
    return np.where(np.isin(np.arange(len(malignant_K)), label_N), malignant_K, -1)


def measure_all(
    cohort: str,
    predictions: pd.DataFrame,
    low_shot: pd.DataFrame,
    retrieved: pd.DataFrame,
    settings: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure predictions and retrieval; what few labels came to is measured already.

    Returns:
        Results, as `measure` returns them, and paired differences, as `records.difference_table` does.
    """
    parts = [measure(cohort, predictions, settings)]
    if len(low_shot):
        parts.append(summarise(cohort, measured_in(low_shot), settings.confidence))
    if len(retrieved):
        parts.append(measure_outcomes(cohort, retrieved, settings))
    averaged = {key: values for _, of_part in parts for key, values in of_part.items()}
    results = pd.concat([results for results, _ in parts], ignore_index=True)
    return results, difference_table(cohort, averaged, settings.confidence)


def measure(cohort: str, predictions: pd.DataFrame, settings: EvaluationParams) -> tuple[pd.DataFrame, Averaged]:
    """Measure predictions fold by fold.

    Args:
        cohort: Name of the cohort.
        predictions: As `protocol.predict` returns them; their scores are pooled by unit.
        settings: Unit, resamples, confidence, seed.

    Returns:
        results: `RESULT_COLUMNS`. draw is a fold's number, `holdout`, or `all`: the mean over folds, with an
            interval by bootstrap over patients within folds, the training patients of a fold on average and
            the test patients of all folds. Where training rows were drawn several times (low-shot), draw is the
            number of the draw, its values means over folds, and `all` is the mean over draws.
        averaged: The values behind `all`, on resamples that every method of these predictions shares; where
            there are no folds, those of the hold-out.
    """
    predictions = by_unit(predictions, settings)
    classes, malignant_K = classes_of(predictions)
    tested = predictions[["draw", "image_id", "patient_id"]].drop_duplicates(["draw", "image_id"])
    weightings = {
        draw: fold_weightings(rows.sort_values("image_id"), settings, position)
        for position, (draw, rows) in enumerate(_folds_first(tested))
    }

    def values_of(part: pd.DataFrame, draw: str) -> Values:
        part = part.sort_values("image_id")
        scores = part[[f"score.{name}" for name in classes]].to_numpy()
        label_N = pd.Index(classes).get_indexer(part["label"])
        return classification_metrics(scores, label_N, malignant_K, weightings[draw])

    return _measure(cohort, predictions, values_of, settings.confidence)


def measure_outcomes(cohort: str, outcomes: pd.DataFrame, settings: EvaluationParams) -> tuple[pd.DataFrame, Averaged]:
    """Measure queries fold by fold: the mean of each outcome over the queries that it applies to.

    Args:
        cohort: Name of the cohort.
        outcomes: As `retrieval.retrieve` returns them.
        settings: Resamples, confidence, seed.

    Returns:
        results and averaged values, as `measure` returns them.
    """
    metrics = [name for name in outcomes if name.startswith(("precision_", "mean_", "recall_"))]
    positions = {draw: position for position, (draw, _) in enumerate(_folds_first(outcomes))}

    def values_of(part: pd.DataFrame, draw: str) -> Values:
        weightings = fold_weightings(part, settings, positions[draw])
        known = [name for name in metrics if part[name].notna().any()]
        return {name: weightings.mean(part[name].to_numpy(dtype=np.float64)) for name in known}

    return _measure(cohort, outcomes, values_of, settings.confidence)


def _measure(
    cohort: str, table: pd.DataFrame, values_of: Callable[[pd.DataFrame, str], Values], confidence: float
) -> tuple[pd.DataFrame, Averaged]:
    """Measure each key of a table by draw and repeat; `values_of` is given the rows and the draw."""
    measured = []
    by_key = table.groupby(list(Key._fields), sort=False, observed=True)
    for key_values, rows in tqdm(by_key, desc="Measuring", unit="figure", leave=False, disable=None):
        key = Key(*map(str, key_values))
        for (draw, repeat), part in rows.groupby(["draw", "repeat"], sort=False, observed=True):
            sizes = int(part["num_train_patients"].iloc[0]), part["patient_id"].nunique()
            measured.append(Measured(key, str(draw), int(repeat), sizes, values_of(part, str(draw))))
    return summarise(cohort, measured, confidence)


def summarise(cohort: str, measured: Iterable[Measured], confidence: float) -> tuple[pd.DataFrame, Averaged]:
    """Results and averaged values, as `measure` returns them, of what was measured fold by fold."""
    by_key: dict[Key, list[Measured]] = {}
    for one in measured:
        by_key.setdefault(one.key, []).append(one)
    rows = [row for key, own in by_key.items() for row in _rows(cohort, key, own, confidence)]
    averaged = {key: average_over_draws(_chosen(own), confidence) for key, own in by_key.items()}
    return pd.DataFrame(rows, columns=RESULT_COLUMNS), averaged


def measured_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """`MEASURED_COLUMNS` and a column per metric: a row for the value itself, resample 0, and one for each resample."""
    if not measured:
        return pd.DataFrame(columns=MEASURED_COLUMNS)
    places = [[*one.key, one.draw, one.repeat, *one.sizes] for one in measured]
    table = pd.DataFrame(places, columns=MEASURED_COLUMNS[:-1]).astype(
        dict.fromkeys([*Key._fields, "draw"], "category")
    )
    num_values = len(next(iter(measured[0].by_metric.values())))
    table = table.loc[table.index.repeat(num_values)].reset_index(drop=True)
    table["resample"] = np.tile(np.arange(num_values, dtype=np.int32), len(measured))
    values = {metric: np.concatenate([one.by_metric[metric] for one in measured]) for metric in measured[0].by_metric}
    return table.assign(**values)


def measured_in(table: pd.DataFrame) -> Iterator[Measured]:
    """What such a table holds."""
    metrics = [name for name in table if name not in MEASURED_COLUMNS]
    for place, rows in table.groupby(MEASURED_COLUMNS[:-1], sort=False, observed=True):
        *key, draw, repeat, num_train, num_test = place
        by_metric = {metric: rows[metric].to_numpy() for metric in metrics}
        yield Measured(Key(*map(str, key)), str(draw), int(repeat), (int(num_train), int(num_test)), by_metric)


def fold_weightings(test_rows: pd.DataFrame, settings: EvaluationParams, position: int) -> Weightings:
    """One fold's test rows as they are and on resamples, 1 + R weightings."""
    return resampled(test_rows["patient_id"].to_numpy(), settings.num_resamples, (settings.seed, position))


def average(values: Iterable[Values]) -> Values:
    """Mean of each metric over folds, or folds and draws.

    A fold that has no value is left out. A resample on which another lost its value, with its only positive say, has
    none: the mean over the remaining folds would be of something else.
    """
    gathered: dict[str, list[np.ndarray]] = {}
    for one in values:
        for metric, value_R in one.items():
            gathered.setdefault(metric, []).append(value_R)
    averaged = {}
    for metric, found in gathered.items():
        measured = [value_R for value_R in found if not np.isnan(value_R[0])]
        averaged[metric] = np.mean(measured, axis=0) if measured else found[0]
    return averaged


def average_over_draws(measured: Iterable[Measured], confidence: float) -> Values:
    """Mean of each metric over folds and draws; on each resample a fold has as many draws, drawn with replacement.

    So intervals cover the draws, too. Which are drawn rests on the fold and the number of draws alone: methods stay
    paired.
    """
    by_fold: dict[str, list[Measured]] = {}
    for one in measured:
        by_fold.setdefault(one.draw, []).append(one)
    num_free = sum(len(draws) - 1 for draws in by_fold.values())
    return average(values for draws in by_fold.values() for values in _drawn_anew(draws, confidence, num_free))


def _drawn_anew(draws: Sequence[Measured], confidence: float, num_free: int) -> list[Values]:
    if len(draws) == 1:
        return [draws[0].by_metric]
    num_resamples = len(next(iter(draws[0].by_metric.values()))) - 1
    drawn_DR = np.random.default_rng([len(draws), *draws[0].draw.encode()]).integers(
        len(draws), size=(len(draws), num_resamples)
    )
    values: list[Values] = [{} for _ in draws]
    for metric in draws[0].by_metric:
        value_DR = np.stack([one.by_metric[metric] for one in draws])
        for own, value_R in zip(values, drawn_anew(value_DR, drawn_DR, confidence, num_free), strict=True):
            own[metric] = value_R
    return values


def _rows(cohort: str, key: Key, measured: list[Measured], confidence: float) -> list[list[object]]:
    folds, rows = [one for one in measured if one.draw != HOLDOUT], []
    if key.shots == "all":
        for one in measured:
            rows += result_rows(cohort, key, one.draw, one.by_metric, one.sizes, confidence)
    elif not folds:
        return result_rows(cohort, key, HOLDOUT, *_together(measured, confidence), confidence)
    else:
        for number in sorted({one.repeat for one in folds}):
            drawn = [one for one in folds if one.repeat == number]
            rows += result_rows(cohort, key, str(number), *_together(drawn, confidence), confidence)
    return rows + result_rows(cohort, key, "all", *_together(folds, confidence), confidence) if folds else rows


def _together(measured: list[Measured], confidence: float) -> tuple[Values, tuple[int, int]]:
    """Mean over folds and draws; training patients on average, test patients of all folds."""
    test_patients = {one.draw: one.sizes[1] for one in measured}
    sizes = round(float(np.mean([one.sizes[0] for one in measured]))), sum(test_patients.values())
    return average_over_draws(measured, confidence), sizes


def _chosen(measured: list[Measured]) -> list[Measured]:
    return [one for one in measured if one.draw != HOLDOUT] or measured


def _folds_first(predictions: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    by_draw = [(str(draw), rows) for draw, rows in predictions.groupby("draw", sort=False, observed=True)]
    return sorted(by_draw, key=lambda part: (part[0] == HOLDOUT, part[0].zfill(6)))
