"""Pre-training of one partition: from tables to a checkpoint, test patients never touched."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import CHANGES_NOTHING_LEARNT, ModelParams, Objective, TrainingParams
from slimp_pipeline.tables.encoding import Encoding
from slimp_pipeline.tables.nuisance import check_nuisance, require_nuisance
from slimp_pipeline.tables.splits import rows_digest
from slimp_pipeline.tables.strangers import with_strangers_metadata
from slimp_pipeline.training.checkpoint import running_folder, running_key, weights_digest
from slimp_pipeline.training.data import patient_lesions
from slimp_pipeline.training.history import Value
from slimp_pipeline.training.loop import Task, train
from slimp_pipeline.training.run import Judge, Report
from slimp_pipeline.training.validation import held_out_patients

logger = logging.getLogger(__name__)
HISTORY_COLUMNS = ["partition", *Value._fields]


@dataclass(frozen=True)
class Cohort:
    """Ingested and split tables of one cohort."""

    name: str
    fingerprint: str
    lesions: pd.DataFrame
    patients: pd.DataFrame
    encodings: dict[str, Encoding]
    licence: str = "?"


def pretrain_partitions(
    cohort: Cohort,
    store: ImageStore,
    training_rows: pd.DataFrame,
    model_settings: ModelParams,
    settings: TrainingParams,
    running_root: str | Path | None,
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[dict[str, Checkpoint], pd.DataFrame]:
    """Pre-train once per partition of the training rows.

    Args:
        cohort: The source cohort.
        store: Its image store.
        training_rows: partition, image_id, patient_id.
        model_settings: The model.
        settings: The training run.
        running_root: Folder or address of running checkpoints; None keeps none.
        report: Called with (partition, step, values) as the runs go.

    Returns:
        Checkpoints by partition; and the history: partition, step, epoch, name, value.
    """
    checkpoints, histories = {}, []
    for name, rows in training_rows.groupby("partition", sort=False):
        checkpoints[str(name)], history = pretrain_partition(
            cohort, store, str(name), rows, model_settings, settings, running_root, partial(report, str(name))
        )
        histories.append(history)
    return checkpoints, pd.concat(histories, ignore_index=True)


def pretrain_partition(
    cohort: Cohort,
    store: ImageStore,
    name: str,
    training_rows: pd.DataFrame,
    model_settings: ModelParams,
    settings: TrainingParams,
    running_root: str | Path | None,
    report: Report,
    judge: Judge | None = None,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Pre-train on the training rows of one partition, from the first weights; a judge measures after every epoch.

    Returns:
        The checkpoint, and the history: partition, step, epoch, name, value.

    Raises:
        ValueError: If the objective contrasts images with metadata that the cohort doesn't have, or there are no
            nuisance fields to be suppressed; and as `train_partition` does.
    """
    check_contrast(cohort.name, cohort.encodings[name], settings.loss.objective)
    if settings.loss.nuisance_weight:
        require_nuisance(cohort.name, cohort.encodings[name].nuisance)
    torch.manual_seed(settings.seed)  # evaluation rebuilds the first weights from this seed
    model = SLIMP(model_settings, settings.loss, cohort.encodings[name])
    return train_partition(
        cohort, store, name, training_rows, model, model_settings, settings, running_root, report, judge=judge
    )


def contrasted_levels(objective: Objective, levels: Sequence[str]) -> Sequence[str]:
    """Those of a cohort's levels, given from the inside out, whose metadata an objective compares with images."""
    return {"inner_only": levels[:1], "outer_only": levels[-1:], "simclr": ()}.get(objective, levels)


def check_contrast(cohort: str, encoding: Encoding, objective: Objective) -> None:
    """Refuse an objective for which a cohort has no metadata at all; say where one of its levels has none.

    Raises:
        ValueError: If nothing is left to contrast images with.
    """
    needed = contrasted_levels(objective, list(encoding.levels))
    empty = [level for level in needed if not encoding.levels[level].fields]
    if needed and len(empty) == len(needed):
        raise ValueError(
            f"cohort {cohort} has no metadata fields of the level {' or '.join(needed)}, and the objective "
            f"'{objective}' contrasts images with them. Set training.loss.objective to simclr, or choose other "
            "features.fields."
        )
    for level in empty:
        logger.info("%s has no metadata fields of the level %s: it adds nothing to '%s'", cohort, level, objective)


def train_partition(
    cohort: Cohort,
    store: ImageStore,
    name: str,
    training_rows: pd.DataFrame,
    model: SLIMP,
    model_settings: ModelParams,
    settings: TrainingParams,
    running_root: str | Path | None,
    report: Report,
    label: str = "Pre-training",
    judge: Judge | None = None,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Train a model on the training rows of one partition.

    Args:
        cohort: The cohort.
        store: Its image store.
        name: The partition.
        training_rows: image_id and patient_id.
        model: The model with its first weights and what of it trains; changed in place.
        model_settings: What it was built with.
        settings: The training run.
        running_root: Folder or address of running checkpoints; None keeps none.
        report: Called with (step, values) as the run goes.
        label: On the progress bar.
        judge: Also measures the model after every epoch.

    Returns:
        The checkpoint, and the history: partition, step, epoch, name, value.

    Raises:
        ValueError: If no training row has an image, or a nuisance field that is to be suppressed tells the diagnosis.
    """
    encoding = cohort.encodings[name]
    lesions = _lesions_with_image(cohort, encoding, training_rows)
    if settings.loss.nuisance_weight:
        check_nuisance(cohort.name, encoding.nuisance, lesions)
    key = _key(cohort, name, lesions, model, model_settings, settings)
    held_out = held_out_patients(lesions, settings)
    read, patients = lesions, cohort.patients
    if settings.shuffled_metadata:
        logger.warning(
            "Every patient has another's metadata (training.shuffled_metadata): what is trained is a control"
        )
        read, patients = with_strangers_metadata(lesions, patients, encoding, settings.seed)
    training, validation = (
        patient_lesions(part.reset_index(drop=True), patients, encoding) if len(part) else None
        for part in (read[~held_out], read[held_out])
    )
    assert training is not None  # held-out patients are never all
    with running_folder(running_root, key) as running:
        task = Task(
            model,
            store,
            training,
            validation,
            settings,
            model_settings.image_encoder.image_size,
            running,
            f"{label} {cohort.name} {name}",
            judge,
        )
        state, run = train(task, report)
    facts = _facts(cohort, name, lesions, settings, run.progress.best_epoch, running=key)
    facts |= {"training_rows": rows_digest(training_rows["image_id"]), "length": run.length}
    history = pd.DataFrame(run.history.values, columns=Value._fields).assign(partition=name)[HISTORY_COLUMNS]
    return Checkpoint(state, model_settings, settings.loss, encoding, facts), history


def _lesions_with_image(cohort: Cohort, encoding: Encoding, training_rows: pd.DataFrame) -> pd.DataFrame:
    settled = encoding.settled(cohort.lesions)
    lesions = settled[settled["image_id"].isin(training_rows["image_id"])]
    lesions = lesions[lesions["store_index"].notna()].reset_index(drop=True)
    if lesions.empty:
        raise ValueError(
            f"cohort {cohort.name} has no row with an image: pre-training needs images. Its raw folder "
            "must hold one of the image sources that its YAML names."
        )
    return lesions


def _key(
    cohort: Cohort,
    name: str,
    lesions: pd.DataFrame,
    model: SLIMP,
    model_settings: ModelParams,
    settings: TrainingParams,
) -> str:
    """Digest of all that decides what is learnt, by which a run is resumed."""
    trained = [parameter for parameter, value in model.named_parameters() if value.requires_grad]
    content = [cohort.fingerprint, sorted(lesions["image_id"]), weights_digest(model), trained]
    learnt = settings.model_dump(mode="json", exclude=set(CHANGES_NOTHING_LEARNT))
    return running_key(learnt, model_settings, cohort.encodings[name], content, name)


def _facts(
    cohort: Cohort, name: str, lesions: pd.DataFrame, settings: TrainingParams, best_epoch: int, running: str
) -> dict[str, Any]:
    return {
        "cohort": cohort.name,
        **({"cohorts": _counted(lesions)} if "cohort" in lesions else {}),
        "partition": name,
        "cohort_fingerprint": cohort.fingerprint,
        "licence": cohort.licence,
        "num_training_images": len(lesions),
        "num_training_patients": int(lesions["patient_id"].nunique()),
        "positive_sampling": settings.sampler.malignant_first_share > 0,
        "shuffled_metadata": settings.shuffled_metadata,
        "training": settings.model_dump(mode="json"),
        "best_validation_epoch": best_epoch,
        "run": running,
    }


def _counted(lesions: pd.DataFrame) -> dict[str, dict[str, int]]:
    """What each of several cohorts gives to a training."""
    counts = lesions.groupby("cohort", sort=False).agg(
        num_images=("image_id", "size"), num_patients=("patient_id", "nunique")
    )
    return {str(name): {key: int(count) for key, count in row.items()} for name, row in counts.iterrows()}
