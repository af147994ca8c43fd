"""Guard: no test patient is ever seen by pre-training."""

from collections.abc import Mapping

import pandas as pd

from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.tables.splits import ALL, check_patient_disjoint, partition, partition_names, rows_digest


def check_encoders(training_rows: pd.DataFrame, checkpoints: Mapping[str, Checkpoint]) -> None:
    """Check that the encoders were trained on exactly these rows.

    Raises:
        ValueError: If they were not: a pre-training that was killed leaves new rows beside old encoders.
    """
    for name, rows in training_rows.groupby("partition"):
        checkpoint = checkpoints.get(str(name))
        if checkpoint is None or checkpoint.facts["training_rows"] != rows_digest(rows["image_id"]):
            raise ValueError(
                f"the latest encoders weren't trained on the latest training rows (partition {name}): the last "
                "pre-training didn't finish. Run `kedro run --pipeline=pretrain` with these settings again."
            )


def check_no_leak(training_rows: pd.DataFrame, splits: pd.DataFrame, *, same_cohort: bool) -> None:
    """Check what pre-training saw against what is tested on.

    Args:
        training_rows: partition, image_id, patient_id of every pre-training.
        splits: The target's splits.
        same_cohort: Whether source and target are one cohort (its patient ids then mean the same people).

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
                f"{len(shared)} images of the target were in the pre-training, first: {min(shared)}. "
                "The source cohort contains the target; remove one from the other."
            )
        return
    trained = {str(name): set(rows["patient_id"]) for name, rows in training_rows.groupby("partition")}
    for name in partition_names(splits):
        if name not in trained:
            raise ValueError(
                f"no pre-training for {name} of this cohort: the latest encoders were trained for "
                f"{', '.join(trained)}. Run `kedro run --pipeline=pretrain` with these settings first."
            )
        tested = set(splits.loc[partition(splits, name)[1], "patient_id"])
        if leaked := tested & trained[name]:
            raise ValueError(
                f"{name}: {len(leaked)} test patients were in its pre-training. The encoders belong to other splits: "
                "run `kedro run --pipeline=pretrain` again with these settings."
            )
