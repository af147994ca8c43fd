"""From predictions to results: metrics, their intervals, and paired differences."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.measures.bootstrap import Weightings, resampled
from slimp_pipeline.evaluation.measures.metrics import classification_metrics
from slimp_pipeline.evaluation.measures.records import (
    RESULT_COLUMNS,
    Averaged,
    Key,
    difference_table,
    mean_where_known,
    result_rows,
)
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.splits import HOLDOUT

Values = dict[str, np.ndarray]  # metric -> its value, then its values on resamples; (1 + R,)
Measured = dict[tuple[str, int], tuple[Values, tuple[int, int]]]  # (draw, repeat) -> values, patients


def measure_all(
    cohort: str, predictions: pd.DataFrame, retrieved: pd.DataFrame, settings: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure predictions and retrieval.

    Returns:
        Results, as `measure` returns them, and paired differences, as `records.difference_table` does.
    """
    results, averaged = measure(cohort, predictions, settings)
    if len(retrieved):
        found, of_queries = measure_outcomes(cohort, retrieved, settings)
        results, averaged = pd.concat([results, found], ignore_index=True), averaged | of_queries
    return results, difference_table(cohort, averaged, settings.confidence)


def measure(cohort: str, predictions: pd.DataFrame, settings: EvaluationParams) -> tuple[pd.DataFrame, Averaged]:
    """Measure predictions fold by fold.

    Args:
        cohort: Name of the cohort.
        predictions: As `protocol.predict` returns them.
        settings: Resamples, confidence, seed.

    Returns:
        results: `RESULT_COLUMNS`. draw is a fold's number, `holdout`, or `all`: the mean over folds, with an
            interval by bootstrap over patients within folds, the training patients of a fold on average and
            the test patients of all folds. Where training rows were drawn several times (low-shot), draw is the
            number of the draw, its values means over folds, and `all` is the mean over draws.
        averaged: The values behind `all`, on resamples that every method of these predictions shares; where
            there are no folds, those of the hold-out.
    """
    classes, malignant_K = classes_of(predictions)
    weightings = {
        draw: fold_weightings(rows.drop_duplicates("image_id").sort_values("image_id"), settings, position)
        for position, (draw, rows) in enumerate(_folds_first(predictions))
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
    results: list[list[object]] = []
    averaged: Averaged = {}
    by_key = table.groupby(list(Key._fields), sort=False, observed=True)
    for key_values, rows in tqdm(by_key, desc="Measuring", unit="figure", leave=False, disable=None):
        key = Key(*map(str, key_values))
        measured: Measured = {}
        for (draw, repeat), part in rows.groupby(["draw", "repeat"], sort=False, observed=True):
            sizes = int(part["num_train_patients"].iloc[0]), part["patient_id"].nunique()
            measured[str(draw), int(repeat)] = values_of(part, str(draw)), sizes
        results += _rows(cohort, key, measured, confidence)
        averaged[key] = average(_chosen(measured))
    return pd.DataFrame(results, columns=RESULT_COLUMNS), averaged


def fold_weightings(test_rows: pd.DataFrame, settings: EvaluationParams, position: int) -> Weightings:
    """One fold's test rows as they are and on resamples, 1 + R weightings."""
    return resampled(test_rows["patient_id"].to_numpy(), settings.num_resamples, (settings.seed, position))


def average(values: Iterable[Values]) -> Values:
    """Mean of each metric over folds and draws."""
    gathered: dict[str, list[np.ndarray]] = {}
    for one in values:
        for metric, value_R in one.items():
            gathered.setdefault(metric, []).append(value_R)
    return {metric: mean_where_known(value) for metric, value in gathered.items()}


def _rows(cohort: str, key: Key, measured: Measured, confidence: float) -> list[list[object]]:
    repeats = sorted({repeat for _, repeat in measured})
    repeated = key.shots != "all"
    rows: list[list[object]] = []
    if not repeated:
        for (draw, _), (values, sizes) in measured.items():
            rows += result_rows(cohort, key, draw, values, sizes, confidence)
    folds = {place: part for place, part in measured.items() if place[0] != HOLDOUT}
    if repeated and not folds:
        return result_rows(cohort, key, HOLDOUT, *_together(measured), confidence)
    if repeated:
        for number in repeats:
            drawn = {place: part for place, part in folds.items() if place[1] == number}
            rows += result_rows(cohort, key, str(number), *_together(drawn), confidence) if drawn else []
    return rows + result_rows(cohort, key, "all", *_together(folds), confidence) if folds else rows


def _together(measured: Measured) -> tuple[Values, tuple[int, int]]:
    """Mean over folds and draws; training patients on average, test patients of all folds."""
    test_patients = {draw: sizes[1] for (draw, _), (_, sizes) in measured.items()}
    train_patients = [sizes[0] for _, sizes in measured.values()]
    sizes = round(float(np.mean(train_patients))), sum(test_patients.values())
    return average(values for values, _ in measured.values()), sizes


def _chosen(measured: Measured) -> Iterable[Values]:
    folds = [values for (draw, _), (values, _) in measured.items() if draw != HOLDOUT]
    return folds or [values for values, _ in measured.values()]


def _folds_first(predictions: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    by_draw = [(str(draw), rows) for draw, rows in predictions.groupby("draw", sort=False, observed=True)]
    return sorted(by_draw, key=lambda part: (part[0] == HOLDOUT, part[0].zfill(6)))


def classes_of(predictions: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Class names of predictions, and the group of each: 1 malignant, 0 benign, -1 neither."""
    classes = [name.removeprefix("score.") for name in predictions if name.startswith("score.")]
    by_label = predictions.drop_duplicates("label").set_index("label")["label_malignant"]
    return classes, by_label.reindex(classes).fillna(-1).to_numpy(dtype=np.int64)
