"""Pre-training of the source role."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.combined import tested_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import ModelParams, TrainingParams
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.splits import training_partitions
from slimp_pipeline.training.pretrain import Cohort, pretrain_partitions


def select_training_rows(source: CohortSpec, target: CohortSpec, splits: pd.DataFrame) -> pd.DataFrame:
    """Rows that each pre-training sees; one per partition where the target is the source, or among its cohorts."""
    tested_N = tested_rows(source, target, splits["image_id"])
    rows = training_partitions(splits, tested_N=tested_N)
    return pd.concat([frame.assign(partition=name) for name, frame in rows.items()], ignore_index=True)


def pretrain(
    source: CohortSpec,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    encodings: dict[str, Any],
    manifest: dict[str, Any],
    image_store: ImageStore,
    training_rows: pd.DataFrame,
    model: ModelParams,
    training: TrainingParams,
    running_root: str,
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[dict[str, Checkpoint], pd.DataFrame]:
    """Pre-train one encoder per partition."""
    cohort = Cohort(source.name, manifest["fingerprint"], lesions, patients, validated(encodings), source.licence)
    return pretrain_partitions(cohort, image_store, training_rows, model, training, running_root, report)
