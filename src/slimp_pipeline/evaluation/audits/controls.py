"""Control: metadata that were shuffled between patients. A gain that stays with them is no gain of the metadata's."""

from collections.abc import Sequence
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

CONTROL_COLUMNS = [
    "cohort", "method", "features", "compared", "reference", "metric", "difference", "ci_low", "ci_high", "num_draws",
    "num_test_patients",
]  # fmt: skip
IMAGE, FUSED, SHUFFLED = "image", "fused", "fused, shuffled"
PAIRS = ((FUSED, IMAGE), (SHUFFLED, IMAGE), (FUSED, SHUFFLED))
METRICS = ("balanced_accuracy", "macro_auroc", "malignant_auroc")


def measure_controls(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Measure what metadata add to images, and what strangers' metadata add.

    Linear probes of the pre-trained encoders are trained and tested on image features, on these with the metadata
    embeddings, and on these with metadata that were shuffled between patients, training and test rows alike.

    Args:
        target: Rows, splits, embeddings.
        settings: Number of draws; 0: nothing is measured.

    Returns:
        `CONTROL_COLUMNS`, a row per method, pair of `PAIRS` and metric of `METRICS` that can be measured; means over
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


def shuffled_between_patients(patient_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row, the row that lends its metadata: of another patient, the same one for all of a patient's rows.

    Args:
        patient_N: Patient of each row, of two patients at least.
        rng: Of the draw.

    Returns:
        Positions, int (N,). A patient with more rows than its lender takes the lender's in turn, over again.
    """
    number_N, ids = pd.factorize(patient_N)
    cycle_P = rng.permutation(len(ids))
    lender_P = np.empty_like(cycle_P)
    lender_P[cycle_P] = np.roll(cycle_P, 1)  # round in a circle: nobody lends to themselves
    rows_of = [np.flatnonzero(number_N == number) for number in range(len(ids))]
    donor_N = np.empty(len(number_N), dtype=np.int64)
    for number, rows in enumerate(rows_of):
        donor_N[rows] = np.resize(rng.permutation(rows_of[lender_P[number]]), len(rows))
    return donor_N


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
    if len(blocks) == 1:
        return []
    features = "+".join(blocks)
    variants = [(IMAGE, 0, [blocks["image"]]), (FUSED, 0, list(blocks.values()))]
    for draw in range(settings.controls.num_draws):
        donor_N = _lenders(task, split, np.random.default_rng([settings.seed, draw]))
        lent = [values if name == "image" else values[donor_N] for name, values in blocks.items()]
        variants.append((SHUFFLED, draw, lent))
    measured = []
    for name, draw, features_ND in variants:
        scaling = Scaling.fit(features_ND, split.train_N)
        probe = fit_task_probe(task, scaling(features_ND, split.train_N), split.train_N, settings)
        score_NK = probe.scores(scaling(features_ND, split.test_N))
        measured.append(yardstick.measure(Key(method, features, "linear_probe", name), score_NK, split.train_N, draw))
    return measured


def _lenders(task: Task, split: Split, rng: np.random.Generator) -> np.ndarray:
    """Lender of each row, (N,): training rows lend to training rows, test rows to test rows."""
    patients, donor_N = task.patient_id_N.codes, np.arange(len(task.rows))
    for side_N in (split.train_N, split.test_N):
        rows = np.flatnonzero(side_N)
        if len(np.unique(patients[rows])) > 1:
            donor_N[rows] = rows[shuffled_between_patients(patients[rows], rng)]
    return donor_N


def _differences(method: str, averaged: Averaged, confidence: float) -> list[list[object]]:
    own = {key.shots: (key, values) for key, values in averaged.items() if key.method == method}
    rows: list[list[object]] = []
    for compared, reference in PAIRS:
        key, values = own[compared]
        for metric in METRICS:
            if metric in values and not np.isnan(values[metric][0]):
                difference = estimate(values[metric] - own[reference][1][metric], confidence)
                rows.append([method, key.features, compared, reference, metric, *difference])
    return rows
