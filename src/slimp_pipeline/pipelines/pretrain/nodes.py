"""Pre-training of the source role."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.combined import in_terms_of, tested_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits.leaks import check_no_leak
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pictures import picture_facts
from slimp_pipeline.parameters import FeatureParams, IngestParams, ModelParams, TrainingParams
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.splits import training_partitions
from slimp_pipeline.training.pretrain import Cohort, pretrain_partitions


def select_training_rows(
    source: CohortSpec, target: CohortSpec, splits: pd.DataFrame, features: FeatureParams
) -> pd.DataFrame:
    """Rows that each pre-training sees; one per partition where the target is the source, or among its cohorts.

    Checks of several cohorts, before hours are spent, that none holds a test picture of the target.
    """
    tested_N = tested_rows(source, target, splits["image_id"])
    partitions = training_partitions(splits, tested_N=tested_N)
    rows = pd.concat([frame.assign(partition=name) for name, frame in partitions.items()], ignore_index=True)
    if tested_N is not None and not features.leaks:
        own = in_terms_of(target, source, splits[tested_N])
        check_no_leak(in_terms_of(target, source, rows), own, same_cohort=True)
    return rows


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
    ingest: IngestParams,
    running_root: str,
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[dict[str, Checkpoint], pd.DataFrame]:
    """Pre-train one encoder per partition; each notes how its pictures were packed."""
    cohort = Cohort(source.name, manifest["fingerprint"], lesions, patients, validated(encodings), source.licence)
    encoders, history = pretrain_partitions(cohort, image_store, training_rows, model, training, running_root, report)
    noted = picture_facts(ingest)
    return {name: replace(one, facts=one.facts | noted) for name, one in encoders.items()}, history
