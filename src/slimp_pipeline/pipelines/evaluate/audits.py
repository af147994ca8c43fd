"""What the results rest on: metadata that get worse or are missing, groups of patients."""

import logging
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.combined import rows_of
from slimp_pipeline.cohorts.fabricated import tbp_truth
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits import known_truth, subgroups
from slimp_pipeline.evaluation.audits.lineage import note_what_it_rests_on
from slimp_pipeline.evaluation.audits.missingness import missingness_audit
from slimp_pipeline.evaluation.features.embed import evaluation_rows
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import check_task
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams, FeatureParams
from slimp_pipeline.tables import duplicates

logger = logging.getLogger(__name__)


def state_task(target: CohortSpec, lesions: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """Classes to be told apart; refused where there aren't two, before any encoder is needed."""
    return check_task(target.name, lesions, settings)


def note_lineage(
    lineage: dict[str, str], adaptation_rows: pd.DataFrame, features: FeatureParams, settings: EvaluationParams
) -> dict[str, Any]:
    """What this evaluation rests on, for whoever reads its results later."""
    return note_what_it_rests_on(lineage, features, settings, adapted=len(adaptation_rows) > 0)


def audit(target: CohortSpec, lesions: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """What missing fields alone tell of the label."""
    return missingness_audit(lesions, target.fields, settings)


def find_seen_pictures(
    source: CohortSpec,
    target: CohortSpec,
    source_lesions: pd.DataFrame,
    source_store: ImageStore,
    training_rows: pd.DataFrame,
    rows: pd.DataFrame,
    target_store: ImageStore,
    features: FeatureParams,
) -> pd.DataFrame:
    """Pictures tested on that pre-training saw under another name; within one cohort `duplicates` tells of them."""
    if source.name == target.name:
        return pd.DataFrame(columns=duplicates.SEEN_COLUMNS)
    of_others = ~rows_of(source, target, source_lesions["image_id"])
    trained = source_lesions[of_others & source_lesions["image_id"].isin(training_rows["image_id"])]
    seen = duplicates.find_seen_pictures(
        target_store.pictures(rows), source_store.pictures(trained), features.near_duplicate_bits
    )
    if len(seen):
        logger.warning(
            "%d pictures of %s were pre-trained on, the same or nearly the same under another name: they may "
            "flatter the results. seen_pictures.csv lists them.",
            seen["image_id"].nunique(), target.name,
        )  # fmt: skip
    return seen


def group(
    target: CohortSpec,
    predictions: pd.DataFrame,
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    splits: pd.DataFrame,
    settings: EvaluationParams,
) -> pd.DataFrame:
    """Results of groups of patients; by fields that need not be features, and hold no texts that somebody typed."""
    rows = evaluation_rows(lesions, patients, splits)
    private = [name for name in rows if name in target.fields and not target.fields[name].is_public]
    rows = rows.drop(columns=private)
    if "site_id" in rows and not target.open_licence:
        rows["site_id"] = subgroups.numbered_sites(rows["site_id"])
    return subgroups.subgroup_table(predictions, rows, settings)


def find_known_truth(cohort: CohortSpec, target: TargetCohort, settings: EvaluationParams) -> pd.DataFrame:
    """Whether the causes of a fabricated cohort are found in the embeddings; nothing for a real one."""
    made = cohort.fabricated
    if made is None or made.layout != "tbp":
        return pd.DataFrame(columns=known_truth.TRUTH_COLUMNS)
    return known_truth.find_truth(target, tbp_truth(made.num_patients, made.seed), settings)
