"""An encoder to hand on."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.combined import in_terms_of
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.handover.exported import Evaluated, Exported, export
from slimp_pipeline.handover.hub import push_to_hub
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, ExportParams

logger = logging.getLogger(__name__)


def export_model(
    encoders: dict[str, Checkpoint],
    training_rows: pd.DataFrame,
    source: CohortSpec,
    target: CohortSpec,
    rows: pd.DataFrame | None,
    splits: pd.DataFrame | None,
    embeddings: dict[str, np.ndarray] | None,
    results: pd.DataFrame | None,
    evaluation: EvaluationParams,
    settings: ExportParams,
) -> Exported:
    """One encoder, in formats of others; known lesions, classifier and results where an evaluation rests on it."""
    evaluated = None
    if rows is not None and splits is not None and embeddings is not None and results is not None:
        evaluated = Evaluated(target.name, rows, splits, embeddings, results)
    else:
        logger.info("No evaluation rests on these encoders: without known lesions, classifier and results")
    known = source.knows_patients_of(target)  # else equal ids are of other people
    seen = in_terms_of(target, source, training_rows) if known else training_rows.iloc[:0]
    return export(encoders, seen, evaluated, evaluation, settings)


def publish(folder: Path, settings: ExportParams) -> dict[str, str]:
    """Send it to the hub, if that is asked for."""
    if settings.hub is None:
        return {}
    address = push_to_hub(folder, settings.hub, private=settings.hub_private, with_known=settings.hub_known_lesions)
    logger.info("Pushed to %s", address)
    return {"hub": address}
