"""Continual pre-training on the target role."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits.leaks import check_pretraining
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import AdaptationParams, FeatureParams, ModelParams, TrainingParams
from slimp_pipeline.tables.encoding import validated
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.splits import ALL, training_partitions
from slimp_pipeline.training.adapt import adapt_partitions, why_not_adapted
from slimp_pipeline.training.pretrain import HISTORY_COLUMNS, Cohort

logger = logging.getLogger(__name__)


def select_adaptation_rows(
    source: CohortSpec,
    target: CohortSpec,
    lesions: pd.DataFrame,
    splits: pd.DataFrame,
    training_rows: pd.DataFrame,
    encoders: dict[str, Checkpoint],
    adaptation: AdaptationParams,
    model: ModelParams,
    training: TrainingParams,
    features: FeatureParams,
) -> pd.DataFrame:
    """Training rows of each of the target's partitions; none where there is nothing to adapt, or adapt to.

    Checks before hours are spent that the encoders are those asked for, and that none saw a test patient.

    Raises:
        ValueError: As `check_pretraining` does; or if there isn't one encoder of all the source's training rows.
    """
    chosen = choose_fields(target, lesions, features)
    check_pretraining(source, target, training_rows, splits, encoders, model, training, features, chosen)
    rows = training_partitions(splits, tested_N=np.ones(len(splits), dtype=bool))
    adaptation_rows = pd.concat([frame.assign(partition=name) for name, frame in rows.items()], ignore_index=True)
    levels = {str(field.level) for field in chosen.values()}
    objective = next(iter(encoders.values())).loss.objective
    reason = why_not_adapted(adaptation, objective, same_cohort=source.holds(target), levels=levels)
    if reason:
        logger.info("Not adapted to %s: %s", target.name, reason)
        return adaptation_rows.iloc[:0]
    if ALL not in encoders:  # the check above lets a split pass that leaks on purpose
        raise ValueError(
            f"the latest encoders of {source.name} were trained fold by fold ({', '.join(encoders)}), and "
            f"{target.name} is adapted to from one of all rows. Run `kedro run --pipeline=pretrain` with these "
            "settings first."
        )
    return adaptation_rows


def adapt(
    target: CohortSpec,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    encodings: dict[str, Any],
    manifest: dict[str, Any],
    image_store: ImageStore,
    adaptation_rows: pd.DataFrame,
    encoders: dict[str, Checkpoint],
    adaptation: AdaptationParams,
    training: TrainingParams,
    running_root: str,
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[dict[str, Checkpoint], pd.DataFrame]:
    """Adapt the pre-trained encoder once per partition of the target."""
    if adaptation_rows.empty:
        return {}, pd.DataFrame(columns=HISTORY_COLUMNS)
    cohort = Cohort(target.name, manifest["fingerprint"], lesions, patients, validated(encodings), target.licence)
    return adapt_partitions(
        cohort, image_store, adaptation_rows, encoders[ALL], adaptation, training, running_root, report
    )
