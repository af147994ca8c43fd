"""Inspection of a cohort's pictures."""

from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import EvaluationParams, FeatureParams, InspectionParams, ModelParams, TrainingParams
from slimp_pipeline.quality.appearance import measure_pictures
from slimp_pipeline.quality.embedding import choose_encoders, embed_pictures
from slimp_pipeline.quality.suspects import decision_template, find_suspects, inspected_pictures
from slimp_pipeline.reporting.pages.suspects import render_suspects


def embed(
    lesions: pd.DataFrame,
    image_store: ImageStore,
    encoders: dict[str, Checkpoint] | None,
    model: ModelParams,
    training: TrainingParams,
    settings: InspectionParams,
    evaluation: EvaluationParams,
) -> dict[str, np.ndarray]:
    """Embeddings of one encoder, by its method."""
    chosen = choose_encoders(encoders or {}, settings.encoder)
    return embed_pictures(
        inspected_pictures(lesions, image_store), image_store, chosen, model, training.seed, evaluation
    )


def measure(lesions: pd.DataFrame, image_store: ImageStore, evaluation: EvaluationParams) -> pd.DataFrame:
    """What pixels tell of each picture."""
    rows = inspected_pictures(lesions, image_store)
    return measure_pictures(image_store, rows, evaluation.batch_size, evaluation.num_workers)


def suspect(
    lesions: pd.DataFrame,
    image_store: ImageStore,
    embedding: dict[str, np.ndarray],
    measures: pd.DataFrame,
    settings: InspectionParams,
    evaluation: EvaluationParams,
    features: FeatureParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Suspects of all kinds, and a decision file to be filled in."""
    pictures, (embedding_ND,) = inspected_pictures(lesions, image_store), embedding.values()
    suspects = find_suspects(pictures, embedding_ND, measures, settings, evaluation, features.near_duplicate_bits)
    return suspects, decision_template(suspects)


def render(
    manifest: dict[str, Any],
    lesions: pd.DataFrame,
    image_store: ImageStore,
    suspects: pd.DataFrame,
    embedding: dict[str, np.ndarray],
    settings: InspectionParams,
) -> str:
    """One page."""
    (method,) = embedding
    return render_suspects(manifest, lesions, image_store, suspects, method, settings.max_page_mb)
