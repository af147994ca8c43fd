"""Which rows settings may be chosen by: training rows that no evaluation tests, split once more by patient."""

import logging

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import FeatureParams, SearchParams
from slimp_pipeline.tables.combined import how_split, members_of
from slimp_pipeline.tables.splits import HOLDOUT, partition, partition_names, split_patients, training_partitions

logger = logging.getLogger(__name__)
SEARCH_ROW_COLUMNS = ["image_id", "patient_id", "part"]
TRAINING, VALIDATION = "training", "validation"


def select_search_rows(
    source: CohortSpec,
    lesions: pd.DataFrame,
    splits: pd.DataFrame,
    features: FeatureParams,
    settings: SearchParams,
    *,
    tested_N: np.ndarray | None,
) -> pd.DataFrame:
    """Rows of the source cohort that a search may see, and which of them measure.

    Args:
        source: The source, which may be several cohorts.
        lesions: Its rows.
        splits: Its splits.
        features: How they were made; the inner split is made likewise, each cohort apart, stratified, by patient or by
            site.
        settings: Share of the inner validation patients, and the seed of the draw.
        tested_N: Which rows of the splits are of the cohort that is tested on, bool, whose test patients are left out;
            None: it isn't among them.

    Returns:
        image_id, patient_id, part: inner `training` and `validation` rows, no patient in both; sorted by image_id.

    Raises:
        ValueError: If a test row would be among them, or patients stand on both sides of the split.
    """
    if features.leaks:
        raise ValueError(
            f"features.split_level is {features.split_level}: patients stand on both sides of the split, and test "
            "patients would choose settings. Search with features.split_level=patient."
        )
    rows = training_partitions(splits, tested_N=tested_N)
    if tested_N is not None and set(rows) != {HOLDOUT}:
        raise ValueError(
            "the target is searched, too, and with features.num_folds above 0 every row of it is a test row of some "
            "fold: test rows would choose settings. Set features.num_folds to 0 and features.holdout_share to 0.2, "
            "say: the rest is searched, and results are read on the hold-out."
        )
    (searched,) = rows.values()
    if tested_N is not None:
        check_untested(searched, splits[tested_N])
    halving = features.model_copy(
        update={"seed": settings.seed, "num_folds": 0, "holdout_share": settings.validation_share, "split_file": None}
    )
    return _inner_split(source, lesions[lesions["image_id"].isin(searched["image_id"])], halving)


def _inner_split(source: CohortSpec, lesions: pd.DataFrame, features: FeatureParams) -> pd.DataFrame:
    """Split each cohort apart. Rows of whom another cohort measures are left out where they would train."""
    splits = []
    for member, rows in members_of(source, lesions):
        try:
            splits.append(split_patients(rows, how_split(source, member, features)))
        except ValueError as error:
            if not source.members:
                raise
            logger.warning("Of %s nobody measures, and all train: %s", member.name, error)
            splits.append(rows[["image_id", "patient_id"]].assign(split="train"))
    inner = pd.concat(splits, ignore_index=True).sort_values("image_id", ignore_index=True)
    measures = inner["split"].eq("test")
    trains = ~measures & ~inner["patient_id"].isin(inner.loc[measures, "patient_id"])
    parts = np.where(measures, VALIDATION, TRAINING)
    return inner.assign(part=parts).loc[measures | trains, SEARCH_ROW_COLUMNS].reset_index(drop=True)


def check_untested(rows: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Raise ValueError if a patient of the rows is tested in any partition of the splits."""
    tested = {
        patient for name in partition_names(splits) for patient in splits.loc[partition(splits, name)[1], "patient_id"]
    }
    if known := tested & set(rows["patient_id"]):
        raise ValueError(
            f"{len(known)} test patients are among the rows that settings would be chosen by, first: {min(known)}"
        )
