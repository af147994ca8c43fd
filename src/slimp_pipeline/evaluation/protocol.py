"""The evaluation protocol: every method, feature set and protocol on the same patient-disjoint partitions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.blocks import scale_blocks
from slimp_pipeline.evaluation.bootstrap import interval, patient_weights
from slimp_pipeline.evaluation.embed import block, methods
from slimp_pipeline.evaluation.knn import knn_scores
from slimp_pipeline.evaluation.metrics import classification_metrics
from slimp_pipeline.evaluation.probe import linear_probe
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import Encoding, one_hot
from slimp_pipeline.tables.splits import HOLDOUT, partition, partition_names

FEATURE_SETS = {
    "image": ("image",),
    "image+lesion": ("image", "lesion"),
    "image+lesion+patient": ("image", "lesion", "patient"),
}
RESULT_COLUMNS = [
    "cohort", "method", "features", "protocol", "shots", "draw", "metric", "value", "ci_low", "ci_high",
    "num_train_patients", "num_test_patients",
]  # fmt: skip
DIFFERENCE_COLUMNS = [
    "cohort", "method", "reference", "features", "protocol", "metric", "difference", "ci_low", "ci_high",
    "num_comparisons",
]  # fmt: skip
Key = tuple[str, str, str]  # method, features, protocol


@dataclass(frozen=True)
class Task:
    """What is to be told apart on a target cohort.

    Attributes:
        rows: Labelled rows with image, sorted by image_id: image_id, patient_id, split, fold, fields.
        label_N: Class numbers.
        classes: Class names.
        malignant_K: Which classes are malignant.
    """

    rows: pd.DataFrame
    label_N: np.ndarray
    classes: list[str]
    malignant_K: np.ndarray


def make_task(lesions: pd.DataFrame, splits: pd.DataFrame, settings: EvaluationParams) -> tuple[Task, np.ndarray]:
    """Gather the rows that have a label.

    Args:
        lesions: Target rows in the order of the embeddings (sorted by image_id).
        splits: The target's splits.
        settings: Which label.

    Returns:
        The task, and which of `lesions` it holds, bool (len(lesions),).

    Raises:
        ValueError: If the cohort has no label, or only one class.
    """
    if settings.label == "malignant":
        label = lesions["malignant"].map({True: "malignant", False: "benign"})
    else:
        label = lesions["diagnosis"]
    labelled = label.notna().to_numpy(dtype=bool)
    classes = sorted(label[labelled].unique())
    if len(classes) < 2:
        found = f"only '{classes[0]}'" if classes else "none"
        raise ValueError(f"evaluation.label = {settings.label}: two classes are needed, the cohort has {found}.")
    rows = lesions[labelled].merge(splits[["image_id", "split", "fold"]], on="image_id", how="left")
    label_N = label[labelled].map({name: k for k, name in enumerate(classes)}).to_numpy(dtype=np.int64)
    share = rows["malignant"].astype("float").groupby(label_N).mean().reindex(range(len(classes)))
    return Task(rows, label_N, list(map(str, classes)), (share > 0.5).to_numpy()), labelled


def evaluate(
    task: Task,
    labelled: np.ndarray,
    embeddings: Mapping[str, np.ndarray],
    encodings: Mapping[str, Encoding],
    cohort: str,
    settings: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Run the protocol.

    Returns:
        results: `RESULT_COLUMNS`; draw is a fold's number, `holdout`, or `all`: the mean over folds, with
            an interval by bootstrap over patients within folds.
        differences: `DIFFERENCE_COLUMNS`; `slimp` minus each other method, paired on the same resamples,
            mean over folds.
        predictions: method, features, protocol, draw, image_id, patient_id, label, predicted, and
            `score.<class>` per class.
    """
    results, predictions = [], []
    drawn: dict[Key, dict[str, list[np.ndarray]]] = {}
    names = partition_names(task.rows)
    bar = tqdm(names, desc=f"Evaluating on {cohort}", unit="fold", leave=False, disable=None)
    for name in bar:
        train_N, test_N = partition(task.rows, name)
        if not test_N.any():
            continue
        _require_trainable(task, train_N, name, cohort)
        patients = task.rows["patient_id"].to_numpy()
        weights_RN = patient_weights(patients[test_N], settings.num_resamples, settings.seed)
        weights_RN = np.concatenate([np.ones((1, int(test_N.sum()))), weights_RN])  # first row: the value itself
        sizes = len(set(patients[train_N])), len(set(patients[test_N]))
        draw = name.removeprefix("fold_")
        for key, score_NK in _scores(task, labelled, embeddings, encodings, name, train_N, test_N, settings):
            values = classification_metrics(score_NK, task.label_N[test_N], task.malignant_K, weights_RN)
            results += _rows(cohort, key, draw, values, sizes, settings.confidence)
            predictions.append(_predictions(task, key, draw, test_N, score_NK))
            if name != HOLDOUT:
                for metric, value_R in values.items():
                    drawn.setdefault(key, {}).setdefault(metric, []).append(value_R)
    averaged = {key: {m: _mean_over_folds(v) for m, v in values.items()} for key, values in drawn.items()}
    num_patients = task.rows["patient_id"].nunique()
    for key, values in averaged.items():
        results += _rows(cohort, key, "all", values, (num_patients, num_patients), settings.confidence)
    return (
        pd.DataFrame(results, columns=RESULT_COLUMNS),
        _differences(cohort, averaged, settings.confidence),
        pd.concat(predictions, ignore_index=True),
    )


def _scores(
    task: Task,
    labelled: np.ndarray,
    embeddings: Mapping[str, np.ndarray],
    encodings: Mapping[str, Encoding],
    name: str,
    train_N: np.ndarray,
    test_N: np.ndarray,
    settings: EvaluationParams,
) -> Iterator[tuple[Key, np.ndarray]]:
    """Yield the test scores of every method, feature set and protocol on one partition."""
    patients, num_classes = task.rows["patient_id"].to_numpy(), len(task.classes)
    for method in methods(embeddings):
        for feature_set, block_names in FEATURE_SETS.items():
            blocks = [block(embeddings, method, name, block_name) for block_name in block_names]
            known = [values[labelled] for values in blocks if values is not None]
            if len(known) < len(blocks):
                continue
            feature_ND = scale_blocks(known, train_N)
            score_NK, _ = linear_probe(
                feature_ND, task.label_N, patients, train_N, test_N, num_classes, settings.probe, settings.seed
            )
            yield (method, feature_set, "linear_probe"), score_NK
            for protocol, prior_weighted in (("knn", False), ("knn_prior_weighted", True)):
                score_NK = knn_scores(
                    feature_ND,
                    task.label_N,
                    train_N,
                    test_N,
                    num_classes,
                    settings.probe.num_neighbours,
                    prior_weighted=prior_weighted,
                )
                yield (method, feature_set, protocol), score_NK
    levels = [one_hot(level, task.rows) for level in (encodings[name].lesion, encodings[name].patient)]
    feature_ND = scale_blocks([level for level in levels if level.shape[1]], train_N)
    score_NK, _ = linear_probe(
        feature_ND, task.label_N, patients, train_N, test_N, num_classes, settings.probe, settings.seed
    )
    yield ("metadata_linear", "metadata", "baseline"), score_NK


def _require_trainable(task: Task, train_N: np.ndarray, name: str, cohort: str) -> None:
    if len(np.unique(task.label_N[train_N])) < 2:
        raise ValueError(
            f"cohort {cohort}, {name}: the training patients are all of one class. Set features.num_folds lower, or "
            "evaluate on another label (evaluation.label)."
        )


def _rows(
    cohort: str, key: Key, draw: str, values: dict[str, np.ndarray], sizes: tuple[int, int], confidence: float
) -> list[list[object]]:
    return [
        [cohort, *key, "all", draw, metric, float(value_R[0]), *interval(value_R[1:], confidence), *sizes]
        for metric, value_R in values.items()
    ]


def _mean_over_folds(values: list[np.ndarray]) -> np.ndarray:
    """Mean over the folds in which the metric could be measured; NaN where it could in none."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)


def _differences(cohort: str, averaged: dict[Key, dict[str, np.ndarray]], confidence: float) -> pd.DataFrame:
    rows = []
    for (method, features, protocol), values in averaged.items():
        for (other, other_features, other_protocol), reference in averaged.items():
            if method == "slimp" and other != "slimp" and (features, protocol) == (other_features, other_protocol):
                for metric, value_R in values.items():
                    difference_R = value_R - reference[metric]
                    low, high = interval(difference_R[1:], confidence)
                    rows.append([cohort, method, other, features, protocol, metric, float(difference_R[0]), low, high])
    return pd.DataFrame([[*row, len(rows)] for row in rows], columns=DIFFERENCE_COLUMNS)


def _predictions(task: Task, key: Key, draw: str, test_N: np.ndarray, score_NK: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(dict(zip(("method", "features", "protocol"), key, strict=True)), index=range(len(score_NK)))
    table["draw"] = draw
    table[["image_id", "patient_id"]] = task.rows.loc[test_N, ["image_id", "patient_id"]].to_numpy()
    names = np.array(task.classes, dtype=object)
    table["label"], table["predicted"] = names[task.label_N[test_N]], names[score_NK.argmax(axis=1)]
    return table.assign(**{f"score.{name}": score_NK[:, k] for k, name in enumerate(task.classes)})
