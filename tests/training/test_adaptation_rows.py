"""Rows to adapt on: nothing is adapted from an encoder that may not be read."""

from types import SimpleNamespace

import pandas as pd
import pytest

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import AdaptationParams, FeatureParams, LossParams, ModelParams, TrainingParams
from slimp_pipeline.pipelines.adapt.nodes import select_adaptation_rows
from slimp_pipeline.tables.splits import rows_digest

MODEL, TRAINING = ModelParams(), TrainingParams()


def cohort(name):
    return CohortSpec.model_validate(
        {
            "name": name,
            "title": "t",
            "licence": "l",
            "source": "s",
            "folder": "f",
            "tables": [{"file": "t.csv"}],
            "image_id": "id",
            "patient_id": ["p"],
            "fields": {"itch": {"kind": "numeric", "level": "lesion", "column": "itch"}},
        }
    )


def rows_of(name):
    return pd.DataFrame({"image_id": [f"{name}{n}" for n in range(6)], "patient_id": [f"p{n}" for n in range(6)]})


def select(trained, features=None):
    """Rows of the target `there`; `trained`: partition -> numbers of the rows of `here` that its encoder saw."""
    training_rows = pd.concat([rows_of("here").loc[rows].assign(partition=name) for name, rows in trained.items()])
    encoders = {
        str(name): SimpleNamespace(
            model=MODEL,
            loss=LossParams(),
            encoding=SimpleNamespace(levels={"lesion": SimpleNamespace(fields=["itch"])}, swapped_levels=False),
            facts={"training": TRAINING.model_dump(mode="json"), "training_rows": rows_digest(rows["image_id"])},
        )
        for name, rows in training_rows.groupby("partition")
    }
    splits = rows_of("there").assign(split="train", fold=[0, 0, 0, 1, 1, 1])
    splits["patient_id"] = "other " + splits["patient_id"]
    return select_adaptation_rows(
        cohort("here"), cohort("there"), pd.DataFrame({"itch": [1.0] * 6}), splits, training_rows, encoders,
        AdaptationParams(), MODEL, TRAINING, features or FeatureParams(),
    )  # fmt: skip


FOLDS = {"fold_0": [3, 4, 5], "fold_1": [0, 1, 2]}


def test_each_partition_of_the_target_is_adapted_to_from_the_encoder_of_all_rows():
    assert select({"all": range(6)}).groupby("partition").size().to_dict() == {"fold_0": 3, "fold_1": 3}


def test_encoders_of_folds_are_refused_before_anything_is_adapted_from_one_of_them():
    with pytest.raises(ValueError, match="trained fold by fold"):
        select(FOLDS)


def test_they_are_refused_where_the_split_leaks_on_purpose_too():
    with pytest.raises(ValueError, match=r"trained fold by fold.*kedro run --pipeline=pretrain"):
        select(FOLDS, FeatureParams(split_level="image"))


def test_encoders_of_swapped_levels_are_refused_before_they_are_adapted():
    with pytest.raises(ValueError, match=r"features\.swapped_levels=false, now the other"):
        select({"all": range(6)}, FeatureParams(swapped_levels=True))
