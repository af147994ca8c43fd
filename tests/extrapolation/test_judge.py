"""Judgement of what was borrowed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.extrapolation.judge import judge_borrowed
from slimp_pipeline.parameters import EvaluationParams, ExtrapolationParams, FeatureParams
from slimp_pipeline.tables.splits import split_patients


def test_of_a_cohort_whose_hold_out_alone_is_tested_the_hold_out_is_judged():
    number = range(60)
    rows = pd.DataFrame(
        {
            "image_id": [f"i{n:02d}" for n in number],
            "lesion_id": [f"l{n}" for n in number],
            "patient_id": [f"p{n // 2}" for n in number],
            "diagnosis": np.where(np.arange(60) % 3 == 0, "melanoma", "nevus"),
            "age_years": [30.0 + n // 2 for n in number],
        }
    )
    splits = split_patients(rows, FeatureParams(num_folds=0, holdout_share=0.2))
    tested = splits.loc[splits["split"] == "test", "image_id"]
    cohort = SimpleNamespace(
        fields={"age_years": FieldSpec(kind="numeric", level="patient", column="age")}
    )  # fmt: skip
    borrowed = rows[["image_id", "patient_id", "age_years"]].assign(
        partition="holdout", similarity=np.linspace(0, 1, 60), nearest_image_id="i00"
    )
    borrowed.loc[~borrowed["image_id"].isin(tested), "age_years"] = 99.0  # what isn't tested is judged by nobody
    settings = EvaluationParams(num_resamples=20)
    quality, _, cases = judge_borrowed(
        cohort, cohort, rows, rows, splits, borrowed, ExtrapolationParams(), settings
    )  # fmt: skip
    error = quality[quality["measure"] == "mean_absolute_error"]
    assert len(error) and error["value"].eq(0).all() and error["num_rows"].max() == len(tested)
    assert set(cases["image_id"]) <= set(tested)
