"""Robustness: probes trained on intact rows, tested on rows whose metadata are missing or wrong."""

from functools import partial

import numpy as np
import pandas as pd
import torch

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.perturbation import Condition, conditions, perturbed_rows
from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.features.embed import RANDOM_INIT, block, encoders_of, initial, start_method
from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick, summarise, yardsticks
from slimp_pipeline.evaluation.measures.records import ADAPTED, Key
from slimp_pipeline.evaluation.parallel import in_parallel
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Split, Task, make_task
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import one_hot
from slimp_pipeline.training.device import pick_device

ROBUSTNESS_COLUMNS = [
    "cohort", "method", "features", "kind", "share", "metric", "value", "ci_low", "ci_high", "num_test_patients",
]  # fmt: skip


def measure_robustness(target: TargetCohort, fields: dict[str, FieldSpec], settings: EvaluationParams) -> pd.DataFrame:
    """Measure linear probes on all features, and on one-hot metadata, as test metadata get worse.

    Images stay as they are. Compared are the pre-trained encoders, the model that they started from (untrained
    metadata encoders; for an adapted encoder with the target's fields), and `metadata_linear`.

    Returns:
        `ROBUSTNESS_COLUMNS`; kind and share as `perturbation.Condition` has them, values means over folds and draws.
        No rows where it isn't asked for.
    """
    if "robustness" not in settings.protocols:
        return pd.DataFrame(columns=ROBUSTNESS_COLUMNS)
    task, labelled = make_task(target.rows, target.splits, settings)
    work = partial(_measure_fold, target, task, labelled, fields, settings)
    folds, title = list(yardsticks(task, target.name, settings)), f"Spoiling metadata of {target.name}"
    of_folds = in_parallel(work, folds, len(task.rows), settings, title)
    measured = [one for of_fold in of_folds for one in of_fold]
    if not measured:
        return pd.DataFrame(columns=ROBUSTNESS_COLUMNS)
    results, _ = summarise(target.name, measured, settings.confidence)
    results = results[results["draw"].isin(["all", "holdout"])].drop_duplicates(["method", "shots", "metric"])
    kind_and_share = results["shots"].str.split("|", expand=True)
    results = results.assign(kind=kind_and_share[0], share=kind_and_share[1].astype(float))
    return results[ROBUSTNESS_COLUMNS].reset_index(drop=True)


def _measure_fold(
    target: TargetCohort,
    task: Task,
    labelled: np.ndarray,
    fields: dict[str, FieldSpec],
    settings: EvaluationParams,
    yardstick: Yardstick,
) -> list[Measured]:
    split, measured = yardstick.split, []
    frames = [
        (condition, perturbed_rows(task.rows, fields, condition, split.train_N, settings.seed))
        for condition in conditions(settings.robustness)
    ]
    for method, features, blocks in _blocks(target, labelled, split, frames, pick_device(settings.device)):
        for condition, score_NK in _score(task, split, [c for c, _ in frames], blocks, settings):
            key = Key(method, features, "linear_probe", f"{condition.kind}|{condition.share}")
            measured.append(yardstick.measure(key, score_NK, split.train_N, condition.draw))
    return measured


Frames = list[tuple[Condition, pd.DataFrame]]


def _blocks(
    target: TargetCohort, labelled: np.ndarray, split: Split, frames: Frames, device: torch.device
) -> list[tuple[str, str, list[list[np.ndarray]]]]:
    """Method, feature set (the levels that it reads of the target), and its blocks: of all rows, which are intact under
    the first condition, and of the test rows under each."""
    test_N = split.test_N
    # All conditions below one another: a call for each would cost more than the rows do.
    joined = pd.concat([frames[0][1], *(frame[test_N] for _, frame in frames)], ignore_index=True)
    starts = np.cumsum([len(test_N), *[test_N.sum()] * (len(frames) - 1)])
    own = encoders_of(target.encoders, split.name)
    start = start_method(target.embeddings)
    for method, checkpoint in list(own.items()):
        name = start + ADAPTED if method.endswith(ADAPTED) else start
        own.setdefault(name, initial(checkpoint, random_image_encoder=start == RANDOM_INIT))
    made = []
    for method, checkpoint in own.items():
        image_ND = block(target.embeddings, method, split.name, "image")
        encoder = PretrainedSLIMP(checkpoint, device)
        encode = {"lesion": encoder.encode_metadata, "patient": encoder.encode_patients}
        read = [level for level in encode if block(target.embeddings, method, split.name, level) is not None]
        if image_ND is None or not read:
            continue
        image_ND = image_ND[labelled]
        images = [image_ND, *[image_ND[test_N]] * len(frames)]
        levels = [np.split(encode[level](joined), starts) for level in read]
        blocks = [list(parts) for parts in zip(images, *levels, strict=True)]
        made.append((method, "+".join(["image", *read]), blocks))
    encoding = target.encodings[split.name]
    levels = [np.split(one_hot(level, joined), starts) for level in (encoding.lesion, encoding.patient) if level.fields]
    if levels:
        made.append(("metadata_linear", "metadata", [list(parts) for parts in zip(*levels, strict=True)]))
    return made


def _score(
    task: Task, split: Split, listed: list[Condition], blocks: list[list[np.ndarray]], settings: EvaluationParams
) -> list[tuple[Condition, np.ndarray]]:
    """Fit once on intact training rows, score the test rows of every condition."""
    intact, *spoilt = blocks
    scaling = Scaling.fit(intact, split.train_N)
    probe = fit_task_probe(task, scaling(intact, split.train_N), split.train_N, settings)
    return [(condition, probe.scores(scaling(tested))) for condition, tested in zip(listed, spoilt, strict=True)]
