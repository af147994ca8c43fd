"""Patients on a plane, by phenotypes that their encoder never saw."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.cohorts.spec import RESERVED, FieldSpec
from slimp_pipeline.evaluation.features.phenotypes import PHENOTYPE_COLUMNS, map_phenotypes, on_a_plane
from slimp_pipeline.parameters import EvaluationParams

SETTINGS = EvaluationParams(device="cpu")
FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "village": FieldSpec(kind="categorical", level="patient", column="village"),  # free text
    "region": FieldSpec(kind="categorical", level="lesion", column="region"),
}


def test_every_patient_of_another_cohort_has_a_place_and_its_traits(small_cohort, embedded):
    small_cohort.lesions["age_years"] = small_cohort.lesions["patient_id"].str[1:].astype(float)
    small_cohort.lesions["village"] = "Springfield"
    small_cohort.lesions.loc[0, "region"] = None
    table = map_phenotypes(replace(embedded(small_cohort), fields=FIELDS), SETTINGS)
    assert list(table) == [*PHENOTYPE_COLUMNS, "age_years"]  # no free text
    assert set(PHENOTYPE_COLUMNS) <= RESERVED  # no field takes the place of one
    assert len(table) == 60 and table["patient_id"].is_unique and (table["num_images"] == 2).all()
    assert (table["age_years"] == table["patient_id"].str[1:].astype(float)).all()
    by_patient = small_cohort.lesions.groupby("patient_id")["malignant"].any()
    assert (table.set_index("patient_id")["any_malignant"] == by_patient).all()
    missing = table.set_index("patient_id")["missing_share"]
    assert missing["p00"] == 0.5 and missing.drop("p00").eq(0).all()
    assert np.isfinite(table[["x", "y"]]).all(axis=None)


def test_of_the_cohort_that_an_encoder_was_trained_on_only_test_patients_are_mapped(small_cohort, embedded):
    target = embedded(small_cohort)
    (checkpoint,) = target.encoders["slimp"].values()
    own = small_cohort.target(encoders={"slimp": {"fold_0": checkpoint, "fold_1": checkpoint}})
    table = map_phenotypes(replace(own, fields=FIELDS), SETTINGS)
    fold = small_cohort.splits.drop_duplicates("patient_id").set_index("patient_id")["fold"]
    assert set(table["patient_id"]) == set(fold.index[fold == 0])


@pytest.mark.parametrize("objective", ["flat", "inner_only", "simclr"])
def test_objectives_that_train_no_phenotype_have_no_map(small_cohort, embedded, objective):
    table = map_phenotypes(replace(embedded(small_cohort, objective), fields=FIELDS), SETTINGS)
    assert table.empty and list(table) == [*PHENOTYPE_COLUMNS, "age_years"]


def test_too_few_patients_have_no_map(small_cohort, embedded):
    small_cohort.lesions = small_cohort.lesions[:8]
    assert map_phenotypes(replace(embedded(small_cohort), fields=FIELDS), SETTINGS).empty


def test_a_cohort_of_images_alone_has_a_map_without_traits(small_cohort, embedded):
    small_cohort.lesions = small_cohort.lesions.drop(columns=["age_years", "region"])
    table = map_phenotypes(replace(embedded(small_cohort), fields={}), SETTINGS)
    assert len(table) == 60 and table["missing_share"].isna().all()


def test_two_clusters_stay_apart_on_the_plane():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.1, (20, 6)), rng.normal(5, 0.1, (20, 6))])
    plane = on_a_plane(values, 0)
    cluster = pd.Series(np.repeat([0, 1], 20))
    centres = [plane[cluster == number].mean(axis=0) for number in (0, 1)]
    spread = max(np.linalg.norm(plane[cluster == n] - centres[n], axis=1).max() for n in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > spread
