"""Controls: strangers' metadata, whose gain is none; and shuffled labels, from which nothing is learnt."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.audits.folds import measure_folds
from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.embed import block, methods
from slimp_pipeline.evaluation.measures.bootstrap import estimate
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick
from slimp_pipeline.evaluation.measures.records import Averaged, Key, is_pretrained
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.strangers import shuffled_between_patients

CONTROL_COLUMNS = [
    "cohort", "method", "features", "compared", "reference", "metric", "difference", "ci_low", "ci_high", "num_draws",
    "num_test_patients",
]  # fmt: skip
IMAGE, FUSED, SHUFFLED = "image", "fused", "fused, shuffled"
PAIRS = ((FUSED, IMAGE), (SHUFFLED, IMAGE), (FUSED, SHUFFLED))
LABELS, CHANCE = "image, labels shuffled", "chance"
_CHANCE = {"macro_auroc": 0.5, "malignant_auroc": 0.5}  # that of the balanced accuracy depends on the classes tested
METRICS = ("balanced_accuracy", "macro_auroc", "malignant_auroc")


def measure_controls(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Measure what metadata add to images, what strangers' metadata add, and what shuffled labels teach.

    Linear probes of the pre-trained encoders are trained and tested on image features, on these with the metadata
    embeddings, and on these with metadata that were shuffled between patients, training and test rows alike. One more
    is trained on images with shuffled labels: it can't do better than chance, unless the evaluation itself leaks.

    Args:
        target: Rows, splits, embeddings.
        settings: Number of draws; 0: nothing is measured.

    Returns:
        `CONTROL_COLUMNS`, a row per method, pair of `PAIRS`, and (`LABELS`, `CHANCE`), and metric of `METRICS` that
        can be measured; means over
        folds and draws, paired on the same resamples, intervals by bootstrap over patients within folds. `features`
        says what is fused.
    """
    trained = [name for name in methods(target.embeddings) if is_pretrained(name)]
    if not settings.controls.num_draws or not trained:
        return pd.DataFrame(columns=CONTROL_COLUMNS)
    work = partial(_measure_fold, target, trained, settings)
    results, averaged = measure_folds(work, target, settings, f"Shuffling metadata of {target.name}")
    sizes = results.groupby("method")["num_test_patients"].max()
    table = [
        [target.name, *row, settings.controls.num_draws, sizes[row[0]]]
        for method in dict.fromkeys(key.method for key in averaged)
        for row in _differences(method, averaged, settings.confidence)
    ]
    return pd.DataFrame(table, columns=CONTROL_COLUMNS)


def _measure_fold(
    target: TargetCohort, trained: Sequence[str], settings: EvaluationParams, task: Task, yardstick: Yardstick
) -> list[Measured]:
    return [one for method in trained for one in _measure(target, method, settings, task, yardstick)]


def _measure(
    target: TargetCohort, method: str, settings: EvaluationParams, task: Task, yardstick: Yardstick
) -> list[Measured]:
    split = yardstick.split
    found = {name: block(target.embeddings, method, split.name, name) for name in ("image", "lesion", "patient")}
    blocks = {name: values[task.labelled_M] for name, values in found.items() if values is not None}
    features, image = "+".join(blocks), [blocks["image"]]
    variants = [(IMAGE, 0, image, task), (FUSED, 0, list(blocks.values()), task)] if len(blocks) > 1 else []
    for draw in range(settings.controls.num_draws):
        rng = np.random.default_rng([settings.seed, draw])
        if len(blocks) > 1:
            donor_N = _lenders(task, split, rng)
            lent = [values if name == "image" else values[donor_N] for name, values in blocks.items()]
            variants.append((SHUFFLED, draw, lent, task))
        variants.append((LABELS, draw, image, replace(task, label_N=_shuffled_labels(task, split, rng))))
    measured = []
    for name, draw, features_ND, taught in variants:
        scaling = Scaling.fit(features_ND, split.train_N)
        probe = fit_task_probe(taught, scaling(features_ND, split.train_N), split.train_N, settings)
        score_NK = probe.scores(scaling(features_ND, split.test_N))
        measured.append(yardstick.measure(Key(method, features, "linear_probe", name), score_NK, split.train_N, draw))
    return measured


def _shuffled_labels(task: Task, split: Split, rng: np.random.Generator) -> np.ndarray:
    """Labels, (N,), those of the training rows in another order."""
    label_N, rows = task.label_N.copy(), np.flatnonzero(split.train_N)
    label_N[rows] = label_N[rng.permutation(rows)]
    return label_N


def _lenders(task: Task, split: Split, rng: np.random.Generator) -> np.ndarray:
    """Lender of each row, (N,): training rows lend to training rows, test rows to test rows, within a site."""
    patients, donor_N = task.patient_id_N.codes, np.arange(len(task.rows))
    places = [task.rows["site_id"].to_numpy()] if "site_id" in task.rows else []
    for side_N in (split.train_N, split.test_N):
        rows = np.flatnonzero(side_N)
        if len(np.unique(patients[rows])) > 1:
            within = [place_N[rows] for place_N in places]
            donor_N[rows] = rows[shuffled_between_patients(patients[rows], rng, within)]
    return donor_N


def _differences(method: str, averaged: Averaged, confidence: float) -> list[list[object]]:
    own = {key.shots: (key, values) for key, values in averaged.items() if key.method == method}
    rows: list[list[object]] = []
    for compared, reference in PAIRS if FUSED in own else ():
        key, values = own[compared]
        for metric in METRICS:
            if metric in values and not np.isnan(values[metric][0]):
                difference = estimate(values[metric] - own[reference][1][metric], confidence)
                rows.append([method, key.features, compared, reference, metric, *difference])
    for metric, chance in _CHANCE.items():
        key, values = own[LABELS]
        if metric in values and not np.isnan(values[metric][0]):
            rows.append([method, IMAGE, LABELS, CHANCE, metric, *estimate(values[metric] - chance, confidence)])
    return rows
