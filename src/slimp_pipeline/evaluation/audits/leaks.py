"""Guard: no test patient is ever seen by pre-training."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.combined import in_terms_of
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import CHANGES_NOTHING_LEARNT, FeatureParams, ModelParams, TrainingParams
from slimp_pipeline.tables.splits import ALL, check_patient_disjoint, partition, partition_names, rows_digest

logger = logging.getLogger(__name__)
LEAK_WARNING = (
    "The split is by %s: patients stand on both sides of it. This run shows what a leak adds; its figures are no "
    "results. For results set features.split_level to patient."
)
_SAME_OR_NOT = (
    "If they are the same pictures, remove them from one of the two cohorts. If others bear the same ids, rename them "
    "in one cohort's table and files."
)
_WHERE_IT_RAN = CHANGES_NOTHING_LEARNT | {"device", "mixed_precision"}


def check_pretraining(
    source: CohortSpec,
    target: CohortSpec,
    training_rows: pd.DataFrame,
    splits: pd.DataFrame,
    encoders: Mapping[str, Checkpoint],
    model: ModelParams,
    training: TrainingParams,
    features: FeatureParams,
    chosen_fields: Collection[str],
) -> None:
    """Check that the encoders are those asked for, and saw no test patient; a split that leaks on purpose warns.

    Args:
        source, target: The cohorts in their roles.
        training_rows: partition, image_id, patient_id of every pre-training.
        splits: The target's splits.
        encoders: Partition -> checkpoint.
        model, training: Settings asked for.
        features: Whether the split leaks on purpose.
        chosen_fields: The target's fields that become features.

    Raises:
        ValueError: As `check_encoders` and `check_no_leak` do; or if levels are swapped there or here alone, or
            encoders of the target itself know fields that aren't chosen.
    """
    check_encoders(training_rows, encoders, model, training)
    encoding = next(iter(encoders.values())).encoding
    if encoding.swapped_levels != features.swapped_levels:
        raise ValueError(
            f"the latest encoders were trained with features.swapped_levels={str(encoding.swapped_levels).lower()}, "
            "now the other is asked for. Run `kedro run --pipeline=pretrain` with these settings again."
        )
    known = {name for level in encoding.levels.values() for name in level.fields}
    if source.members:  # whose other cohorts have fields of their own
        known &= set(target.fields)
    if source.holds(target) and (unchosen := known - set(chosen_fields)):
        raise ValueError(
            f"the latest encoders know fields that features.fields leaves out ({', '.join(sorted(unchosen))}). "
            "Run `kedro run --pipeline=pretrain` with these settings again."
        )
    if features.leaks:
        logger.warning(LEAK_WARNING, features.split_level)
        return
    same_cohort, same_registry = source.holds(target), source.shares_registry(target)
    training_rows = in_terms_of(target, source, training_rows)
    check_no_leak(training_rows, splits, same_cohort=same_cohort, same_registry=same_registry)


def check_encoders(
    training_rows: pd.DataFrame, checkpoints: Mapping[str, Checkpoint], model: ModelParams, training: TrainingParams
) -> None:
    """Check that the encoders were trained on exactly these rows, with these settings.

    Raises:
        ValueError: If they were not: another environment trained on the same cohort since, or a pre-training
            that was killed left new rows beside old encoders.
    """
    asked = _settings(model, training.model_dump(mode="json"))
    defaults = _settings(model, TrainingParams().model_dump(mode="json"))  # of settings younger than the encoder
    for encoder in checkpoints.values():
        trained = defaults | _settings(encoder.model, encoder.facts["training"])
        if names := [name for name in {**asked, **trained} if trained.get(name) != asked.get(name)]:
            differing = "; ".join(f"{name} {trained.get(name)}, now {asked.get(name)}" for name in names[:4])
            raise ValueError(
                f"the latest encoders of the source cohort were trained with other settings ({differing}). "
                "Run `kedro run --pipeline=pretrain` with these settings again; what was trained before is reused."
            )
    for name, rows in training_rows.groupby("partition"):
        checkpoint = checkpoints.get(str(name))
        if checkpoint is None or checkpoint.facts["training_rows"] != rows_digest(rows["image_id"]):
            raise ValueError(
                f"the latest encoders weren't trained on the latest training rows (partition {name}): the last "
                "pre-training didn't finish. Run `kedro run --pipeline=pretrain` with these settings again."
            )


def _settings(model: ModelParams, training: dict[str, Any]) -> dict[str, Any]:
    """Settings that decide what is learnt, flattened; weights by the name of their file."""
    kept = {key: value for key, value in training.items() if key not in _WHERE_IT_RAN}
    flat = pd.json_normalize({"model": model.model_dump(mode="json"), "training": kept}).iloc[0].to_dict()
    return flat | {"model.image_encoder.weights": Path(model.image_encoder.weights).name}


def check_no_leak(
    training_rows: pd.DataFrame, splits: pd.DataFrame, *, same_cohort: bool, same_registry: bool = False
) -> None:
    """Check what pre-training saw against what is tested on.

    Args:
        training_rows: partition, image_id, patient_id of every pre-training.
        splits: The target's splits.
        same_cohort: Whether the target is the source, or among its cohorts (its patient ids then mean the same people).
        same_registry: Whether they are two cohorts whose patient ids mean the same people all the same.

    Raises:
        ValueError: If a test patient, or an image of the target, was trained on; or if the pre-training
            doesn't belong to these splits.
    """
    check_patient_disjoint(splits)
    if not same_cohort:
        if set(training_rows["partition"]) != {ALL}:
            raise ValueError(
                "the latest encoders of the source cohort were trained fold by fold, for an evaluation on itself. "
                "Run `kedro run --pipeline=pretrain` with these settings first."
            )
        shared = set(training_rows["image_id"]) & set(splits["image_id"])
        if shared:
            raise ValueError(
                f"{len(shared)} images of the target were in the pre-training, by their ids; first: {min(shared)}. "
                f"{_SAME_OR_NOT}"
            )
        if same_registry and (known := set(training_rows["patient_id"]) & set(splits["patient_id"])):
            raise ValueError(
                f"{len(known)} patients of the target were in the pre-training, first: {min(known)}. "
                "Source and target share patients; remove them from one of the two."
            )
        return
    trained = {str(name): set(rows["patient_id"]) for name, rows in training_rows.groupby("partition")}
    for name in partition_names(splits):
        if name not in trained:
            raise ValueError(
                f"no pre-training for {name} of this cohort: the latest encoders were trained for "
                f"{', '.join(trained)}. Run `kedro run --pipeline=pretrain` with these settings first."
            )
        in_test = partition(splits, name)[1]
        tested = set(splits.loc[in_test, "patient_id"])
        if leaked := tested & trained[name]:
            raise ValueError(
                f"{name}: {len(leaked)} test patients were in its pre-training. The encoders belong to other splits: "
                "run `kedro run --pipeline=pretrain` again with these settings."
            )
        rows = training_rows[training_rows["partition"] == name]
        if shared := set(rows["image_id"]) & set(splits.loc[in_test, "image_id"]):
            raise ValueError(
                f"{name}: {len(shared)} test images were in its pre-training, by their ids; first: {min(shared)}. "
                f"Another source cohort has them. {_SAME_OR_NOT}"
            )
