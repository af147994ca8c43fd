"""Judgement of borrowed metadata: field by field against the truth, with the cases that show it."""

import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.extrapolation.cases import worst_and_best
from slimp_pipeline.extrapolation.comparable import comparable_fields
from slimp_pipeline.extrapolation.quality import borrowed_quality
from slimp_pipeline.extrapolation.run import tested_rows
from slimp_pipeline.parameters import EvaluationParams, ExtrapolationParams


def judge_borrowed(
    source: CohortSpec,
    target: CohortSpec,
    reference_rows: pd.DataFrame,
    target_rows: pd.DataFrame,
    splits: pd.DataFrame,
    borrowed: pd.DataFrame,
    settings: ExtrapolationParams,
    evaluation: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Judge what the target's rows borrowed.

    Args:
        source, target: The cohorts in their roles.
        reference_rows: Rows that lend.
        target_rows: Rows that borrow, with what is truly known of them.
        splits: The target's splits.
        borrowed: Borrowed fields by partition and image_id, with similarity and patient_id.
        settings: Coverages, and how many cases are shown.
        evaluation: Of the bootstrap.

    Returns:
        Agreement with the truth (`quality.QUALITY_COLUMNS`); fields that can't be compared, with the reason; best and
        worst cases: borrowed rows with `case` and the names of the compared `fields`.
    """
    tested = tested_rows(borrowed, splits)
    truth = target_rows[target_rows["image_id"].isin(tested["image_id"])].sort_values("image_id", ignore_index=True)
    lent = {
        name: field for name, field in source.fields.items() if any(c in borrowed for c in field.table_columns(name))
    }
    names, others = comparable_fields(reference_rows, truth, lent, target.fields)
    fields = {name: target.fields[name] for name in names}
    similarity_N = tested["similarity"].to_numpy()
    quality = borrowed_quality(
        tested,
        truth,
        reference_rows,
        fields,
        truth["patient_id"].to_numpy(),
        similarity_N,
        settings.coverages,
        num_resamples=evaluation.num_resamples,
        confidence=evaluation.confidence,
        seed=evaluation.seed,
    )
    best, worst = worst_and_best(tested, truth, fields, similarity_N, settings.num_shown)
    cases = pd.concat([tested.loc[rows].assign(case=case) for case, rows in (("best", best), ("worst", worst))])
    return quality, others, cases.assign(fields=", ".join(names))
