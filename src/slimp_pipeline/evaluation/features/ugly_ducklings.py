"""Ugly ducklings of a target: lesions unlike their patient's others, by the pre-trained image encoder."""

import pandas as pd

from slimp_pipeline.evaluation.features.embed import block, methods
from slimp_pipeline.evaluation.features.patient_context import distances_from_own_mean
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.tables.splits import partition, partition_names

DUCKLING_COLUMNS = ["image_id", "patient_id", "lesion_id", "distance", "stands_out"]


def ugly_duckling_table(target: TargetCohort) -> pd.DataFrame:
    """Tell how far each picture is from what its patient's lesions have in common.

    Embeddings are those of the first partition's encoder, centred on the mean of that partition's training rows.

    Returns:
        `DUCKLING_COLUMNS`, a row per picture of a patient with several lesions, as
        `patient_context.distances_from_own_mean` has them. Labels are not looked at.
    """
    rows, name = target.rows, partition_names(target.splits)[0]
    image_ND = block(target.embeddings, pretrained_method(methods(target.embeddings)), name, "image")
    assert image_ND is not None  # every method embeds images
    train_N, _ = partition(rows[["image_id"]].merge(target.splits, on="image_id", how="left"), name)
    centred_ND = image_ND - image_ND[train_N].mean(axis=0)
    distance_N, stands_out_N = distances_from_own_mean(
        centred_ND, rows["patient_id"].to_numpy(), rows["lesion_id"].to_numpy()
    )
    table = rows[["image_id", "patient_id", "lesion_id"]].assign(distance=distance_N, stands_out=stands_out_N)
    return table.dropna(subset="distance").reset_index(drop=True)
