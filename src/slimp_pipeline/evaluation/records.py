"""The tables that an evaluation leaves: results, paired differences, predictions."""

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.bootstrap import interval
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.tables.splits import HOLDOUT

RESULT_COLUMNS = [
    "cohort", "method", "features", "protocol", "shots", "draw", "metric", "value", "ci_low", "ci_high",
    "num_train_patients", "num_test_patients",
]  # fmt: skip
DIFFERENCE_COLUMNS = [
    "cohort", "method", "reference", "features", "protocol", "metric", "difference", "ci_low", "ci_high",
    "num_comparisons",
]  # fmt: skip
Key = tuple[str, str, str]  # method, features, protocol


def summary_draw(results: pd.DataFrame) -> str:
    """The draw that stands for a run: the mean over folds, or the hold-out where there are no folds."""
    return "all" if (results["draw"] == "all").any() else HOLDOUT


def result_rows(
    cohort: str, key: Key, draw: str, values: dict[str, np.ndarray], sizes: tuple[int, int], confidence: float
) -> list[list[object]]:
    """Rows of the results table, one per metric.

    Args:
        cohort: Name of the cohort.
        key: Method, features, protocol.
        draw: Fold, `holdout` or `all`.
        values: Metric -> its value, then its bootstrap values; float (1 + R,).
        sizes: Training and test patients.
        confidence: Of the interval.
    """
    rows: list[list[object]] = []
    for metric, value_R in values.items():
        value = float(value_R[0])
        low, high = np.clip(interval(value, value_R[1:], confidence), 0, 1)  # as all metrics are
        rows.append([cohort, *key, "all", draw, metric, value, float(low), float(high), *sizes])
    return rows


def mean_over_folds(values: list[np.ndarray]) -> np.ndarray:
    """Mean over the folds in which the metric could be measured; NaN where it could in none."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)


def difference_table(cohort: str, averaged: dict[Key, dict[str, np.ndarray]], confidence: float) -> pd.DataFrame:
    """Difference of `slimp` to every other method of the same features and protocol.

    The metadata baseline, which has features of its own, is compared with every linear probe.

    Args:
        cohort: Name of the cohort.
        averaged: Key -> metric -> its value, then its values on the resamples that all methods share.
        confidence: Of the interval.
    """
    rows = []
    for (method, features, protocol), values in averaged.items():
        if method != "slimp":
            continue
        for (other, *conditions), reference in averaged.items():
            baseline = protocol == "linear_probe" and conditions[1] == "baseline"
            if other == "slimp" or not (conditions == [features, protocol] or baseline):
                continue
            for metric, value_R in values.items():
                difference_R = value_R - reference[metric]
                difference = float(difference_R[0])
                low, high = interval(difference, difference_R[1:], confidence)
                rows.append([cohort, method, other, features, protocol, metric, difference, low, high])
    return pd.DataFrame([[*row, len(rows)] for row in rows], columns=DIFFERENCE_COLUMNS)


def prediction_table(task: Task, key: Key, draw: str, test_N: np.ndarray, score_NK: np.ndarray) -> pd.DataFrame:
    """Scores of the test rows, with the names of their true and their predicted class."""
    table = pd.DataFrame(dict(zip(("method", "features", "protocol"), key, strict=True)), index=range(len(score_NK)))
    table["draw"] = draw
    table[["image_id", "patient_id"]] = task.rows.loc[test_N, ["image_id", "patient_id"]].to_numpy()
    names = np.array(task.classes, dtype=object)
    table["label"], table["predicted"] = names[task.label_N[test_N]], names[score_NK.argmax(axis=1)]
    return table.assign(**{f"score.{name}": score_NK[:, k] for k, name in enumerate(task.classes)})
