"""Phenotypes of a target's patients, on a plane."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.features.embed import block, methods
from slimp_pipeline.evaluation.measures.records import ADAPTED, EXTRAPOLATED, pretrained_method
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.missing import missing_fields
from slimp_pipeline.tables.splits import ALL, partition, partition_names
from slimp_pipeline.training.device import pick_device

PHENOTYPE_COLUMNS = ["patient_id", "num_images", "x", "y", "any_malignant", "missing_share"]
WITH_PHENOTYPE = ("slimp", "slimp_paper", "outer_only")  # objectives that train on phenotypes
_MAX_PATIENTS = 2000  # more can't be told apart, and make the page heavy
_MIN_PATIENTS = 5


def map_phenotypes(target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Place patients by what their lesions look like: phenotypes of the pre-trained encoder, by t-SNE.

    Mapped are patients that its pre-training never saw: all of another cohort's, of its own the first partition's test
    patients; a sample where there are many.

    Args:
        target: Rows, splits, embeddings, encoders, fields; those of the patient level are traits, but for free texts.
        settings: Seed and device.

    Returns:
        `PHENOTYPE_COLUMNS` (any_malignant: nullable boolean, not known unless a lesion is malignant or all are known;
        missing_share: of its cells below the patient level) and a column per patient-level field that the rows have, a
        row per patient. No rows where the encoder's objective trains no phenotype, or there are too few patients.
    """
    traits = [
        name
        for name, field in target.fields.items()
        if field.level == "patient" and field.is_public and name in target.rows
    ]
    columns = [*PHENOTYPE_COLUMNS, *traits]
    method = pretrained_method(methods(target.embeddings))
    if method.removesuffix(ADAPTED).removesuffix(EXTRAPOLATED) not in WITH_PHENOTYPE:
        return pd.DataFrame(columns=columns)
    name = partition_names(target.splits)[0]
    encoders = target.encoders[method]
    chosen_N = np.ones(len(target.rows), dtype=bool)
    if ALL not in encoders:
        split = target.rows[["image_id"]].merge(target.splits, on="image_id", how="left")
        chosen_N = partition(split, name)[1]
    image_ND = block(target.embeddings, method, name, "image")
    rows = target.rows[chosen_N]
    if image_ND is None or rows["patient_id"].nunique() < _MIN_PATIENTS:
        return pd.DataFrame(columns=columns)
    encoder = PretrainedSLIMP(encoders.get(name) or encoders[ALL], pick_device(settings.device))
    phenotype_PX = encoder.encode_phenotypes(image_ND[chosen_N], rows)
    patients = _described(rows, traits, target.fields)
    sample = np.sort(np.random.default_rng(settings.seed).permutation(len(patients))[:_MAX_PATIENTS])
    plane_P2 = on_a_plane(phenotype_PX[sample], settings.seed)
    return patients.iloc[sample].reset_index().assign(x=plane_P2[:, 0], y=plane_P2[:, 1])[columns]


def _described(rows: pd.DataFrame, traits: list[str], fields: Mapping[str, FieldSpec]) -> pd.DataFrame:
    """One row per patient, as they first appear: traits, and what is known of their lesions."""
    of_lesion = {
        name: field
        for name, field in fields.items()
        if field.level != "patient" and set(field.table_columns(name)) <= set(rows)
    }
    missing_share_N = missing_fields(rows, of_lesion).mean(axis=1)
    of_patients = rows.groupby("patient_id", sort=False)
    malignant_N = rows["malignant"].astype("boolean")
    return (
        of_patients[traits]
        .first()
        .assign(
            num_images=of_patients.size(),
            any_malignant=malignant_N.groupby(rows["patient_id"], sort=False).any(skipna=False),
            missing_share=missing_share_N.groupby(rows["patient_id"], sort=False).mean(),
        )
    )


def on_a_plane(values_ND: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE of the first principal components, float32 (N, 2)."""
    reduced = PCA(min(50, *values_ND.shape), random_state=seed).fit_transform(values_ND)
    perplexity = max(2.0, min(30.0, (len(values_ND) - 1) / 4))
    return TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(reduced)
