"""The evaluation protocol: every method, feature set and protocol on the same patient-disjoint partitions."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from tqdm import tqdm

from slimp_pipeline.evaluation.blocks import scale_blocks
from slimp_pipeline.evaluation.bootstrap import patient_weights
from slimp_pipeline.evaluation.embed import block, methods
from slimp_pipeline.evaluation.knn import knn_scores
from slimp_pipeline.evaluation.metrics import classification_metrics
from slimp_pipeline.evaluation.probe import linear_probe
from slimp_pipeline.evaluation.records import (
    RESULT_COLUMNS,
    Key,
    difference_table,
    mean_over_folds,
    prediction_table,
    result_rows,
)
from slimp_pipeline.evaluation.task import Task, make_task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import Encoding, one_hot
from slimp_pipeline.tables.splits import HOLDOUT, partition, partition_names

FEATURE_SETS = {
    "image": ("image",),
    "image+lesion": ("image", "lesion"),
    "image+lesion+patient": ("image", "lesion", "patient"),
}
__all__ = ["FEATURE_SETS", "Task", "evaluate", "make_task"]


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
            an interval by bootstrap over patients within folds, and with the training patients of a fold on
            average and the test patients of all folds.
        differences: `DIFFERENCE_COLUMNS`; `slimp` minus each other method, paired on the same resamples,
            mean over folds.
        predictions: method, features, protocol, draw, image_id, patient_id, label, predicted, and
            `score.<class>` per class.
    """
    results, predictions = [], []
    drawn: dict[Key, dict[str, list[np.ndarray]]] = {}
    fold_sizes = []
    patients = task.rows["patient_id"].to_numpy()
    names = partition_names(task.rows)
    bar = tqdm(names, desc=f"Evaluating on {cohort}", unit="fold", leave=False, disable=None)
    for position, name in enumerate(bar):
        train_N, test_N = partition(task.rows, name)
        if not test_N.any():
            continue
        _require_trainable(task, train_N, name, cohort)
        weights_RN = patient_weights(patients[test_N], settings.num_resamples, (settings.seed, position))
        weights_RN = np.concatenate([np.ones((1, int(test_N.sum()))), weights_RN])  # first row: the value itself
        sizes = len(set(patients[train_N])), len(set(patients[test_N]))
        if name != HOLDOUT:
            fold_sizes.append(sizes)
        draw = name.removeprefix("fold_")
        for key, score_NK in _scores(task, labelled, embeddings, encodings, name, train_N, test_N, settings):
            values = classification_metrics(score_NK, task.label_N[test_N], task.malignant_K, weights_RN)
            results += result_rows(cohort, key, draw, values, sizes, settings.confidence)
            predictions.append(prediction_table(task, key, draw, test_N, score_NK))
            if name != HOLDOUT:
                for metric, value_R in values.items():
                    drawn.setdefault(key, {}).setdefault(metric, []).append(value_R)
    averaged = {key: {m: mean_over_folds(v) for m, v in values.items()} for key, values in drawn.items()}
    for key, values in averaged.items():
        num_train, num_test = np.array(fold_sizes).T
        sizes = round(num_train.mean()), int(num_test.sum())
        results += result_rows(cohort, key, "all", values, sizes, settings.confidence)
    return (
        pd.DataFrame(results, columns=RESULT_COLUMNS),
        difference_table(cohort, averaged, settings.confidence),
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
    levels = [level for level in levels if level.shape[1]]
    if not levels:  # a cohort of images alone
        return
    feature_ND = scale_blocks(levels, train_N)
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
