"""The tables that an evaluation leaves: predictions, and from them results and paired differences."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.measures.bootstrap import estimate
from slimp_pipeline.evaluation.task import Split, Task
from slimp_pipeline.parameters import Objective
from slimp_pipeline.tables.splits import HOLDOUT

RESULT_COLUMNS = [
    "cohort", "method", "features", "protocol", "shots", "draw", "metric", "value", "ci_low", "ci_high",
    "num_train_patients", "num_test_patients",
]  # fmt: skip
DIFFERENCE_COLUMNS = [
    "cohort", "method", "reference", "features", "protocol", "shots", "metric", "difference", "ci_low", "ci_high",
    "num_comparisons",
]  # fmt: skip
METRIC_BOUNDS = (0.0, 1.0)  # of every metric in the results
_LEADING = ("initial_weights", "random_init", "metadata_linear")
ADAPTED = "_adapted"  # ends the method name of an encoder that was adapted to the target
EXTRAPOLATED = "_extrapolated"  # ends the method name of an encoder that was given borrowed metadata


class Key(NamedTuple):
    """What a figure belongs to."""

    method: str
    features: str
    protocol: str
    shots: str = "all"


Averaged = dict[Key, dict[str, np.ndarray]]
"""Key -> metric -> its value, then its values on the resamples that all methods share; float (1 + R,)."""


def is_pretrained(method: str) -> bool:
    """Whether a method is an encoder pre-trained here, adapted or not."""
    return method.removesuffix(ADAPTED).removesuffix(EXTRAPOLATED) in get_args(Objective)


def pretrained_method(methods: Iterable[str]) -> str:
    """Of several methods the one that a run is about: the first that is pre-trained; else the first."""
    named = list(methods)
    return next((name for name in named if is_pretrained(name)), named[0])


def leading_differences(differences: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Of all differences those that a run is about, on image features and linear probes.

    The pre-trained method minus what it started from and the metadata baseline; and others pre-trained minus it.
    """
    paired = differences[
        (differences["metric"] == metric)
        & (differences["features"] == "image")
        & (differences["protocol"] == "linear_probe")
    ]
    if paired.empty:
        return paired
    first = pretrained_method(paired["method"])
    of_first = (paired["method"] == first) & paired["reference"].isin(_LEADING)
    return paired[of_first | (paired["reference"] == first)]


def summary_draw(results: pd.DataFrame) -> str:
    """The draw that stands for a run: the mean over folds, or the hold-out where there are no folds."""
    return "all" if (results["draw"] == "all").any() else HOLDOUT


def result_rows(
    cohort: str, key: Key, draw: str, values: dict[str, np.ndarray], sizes: tuple[int, int], confidence: float
) -> list[list[object]]:
    """Rows of the results table, one per metric.

    Args:
        cohort: Name of the cohort.
        key: Method, features, protocol, shots.
        draw: Fold, `holdout`, number of a draw, or `all`.
        values: Metric -> its value, then its bootstrap values; float (1 + R,).
        sizes: Training and test patients.
        confidence: Of the interval.
    """
    rows: list[list[object]] = []
    for metric, value_R in values.items():
        rows.append([cohort, *key, draw, metric, *estimate(value_R, confidence, METRIC_BOUNDS), *sizes])
    return rows


def difference_table(cohort: str, averaged: Averaged, confidence: float) -> pd.DataFrame:
    """Difference of every pre-trained method to every other of the same features, protocol and shots.

    Baselines, which have features of their own, are compared with every linear probe. Of two pre-trained
    methods the one that comes later in `averaged` is compared with the earlier.
    """
    rows = []
    keys = list(averaged)
    for position, key in enumerate(keys):
        if not is_pretrained(key.method):
            continue
        for place, other in enumerate(keys):
            later = is_pretrained(other.method) and place >= position
            if other.method == key.method or later or not comparable(key, other):
                continue
            for metric, value_R in averaged[key].items():
                if metric not in averaged[other]:
                    continue
                difference = estimate(value_R - averaged[other][metric], confidence)
                rows.append([cohort, key.method, other.method, *key[1:], metric, *difference])
    return pd.DataFrame([[*row, len(rows)] for row in rows], columns=DIFFERENCE_COLUMNS)


def comparable(key: Key, other: Key) -> bool:
    """Whether two figures are of the same features, protocol and shots, or a linear probe and a baseline."""
    return key[1:] == other[1:] or (key.protocol == "linear_probe" and other.protocol == "baseline")


def classes_of(predictions: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Class names of predictions, and the group of each: 1 malignant, 0 benign, -1 neither."""
    classes = [name.removeprefix("score.") for name in predictions if name.startswith("score.")]
    by_label = predictions.drop_duplicates("label").set_index("label")["label_malignant"]
    return classes, by_label.reindex(classes).fillna(-1).to_numpy(dtype=np.int64)


def prediction_table(task: Task, key: Key, split: Split, score_NK: np.ndarray) -> pd.DataFrame:
    """Scores of a split's test rows, with the names of their true and their predicted class.

    Texts are categorical: an evaluation holds many such tables, and each row repeats them.
    """
    label_N, rows = task.label_N[split.test_N], np.flatnonzero(split.test_N)
    named = {**key._asdict(), "draw": split.draw}
    table = {
        **{name: pd.Categorical.from_codes(np.zeros(len(rows), np.int8), [value]) for name, value in named.items()},
        "repeat": np.int16(0),
        "num_train_patients": np.int32(len(np.unique(task.patient_id_N.codes[split.train_N]))),
        "image_id": task.image_id_N[rows],
        "lesion_id": task.lesion_id_N[rows],
        "patient_id": task.patient_id_N[rows],
        "label": pd.Categorical.from_codes(label_N, task.classes),
        "label_malignant": task.malignant_K[label_N].astype(np.int8),
        "predicted": pd.Categorical.from_codes(score_NK.argmax(axis=1), task.classes),
        **{f"score.{name}": score_NK[:, k] for k, name in enumerate(task.classes)},
    }
    return pd.DataFrame(table)


def join_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One below the other; a column that is categorical in all stays so."""
    tables = [table for table in tables if len(table)] or list(tables[:1])
    for name in tables[0].select_dtypes("category"):
        known = [table[name].cat.categories for table in tables]
        if any(categories is not known[0] for categories in known):
            together = pd.Index(dict.fromkeys(value for categories in known for value in categories))
            tables = [table.assign(**{name: table[name].cat.set_categories(together)}) for table in tables]
    return pd.concat(tables, ignore_index=True)
