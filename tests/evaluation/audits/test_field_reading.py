"""Fields read from images, and what they add to them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.field_reading import ADDS, READ, READING_COLUMNS, measure_reading
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.evaluation.protocols.run import predict
from slimp_pipeline.parameters import EvaluationParams, LowShotParams, ProbeParams

FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "region": FieldSpec(kind="categorical", level="lesion", column="region"),
}
SETTINGS = EvaluationParams(
    device="cpu", num_resamples=100, field_reading=True, low_shot=LowShotParams(strength=1.0),
    protocols=["linear_probe"], features=["image"], probe=ProbeParams(strengths=[1.0]),
)  # fmt: skip


def seeing(cohort, image_ND, **changes):
    """The cohort with these embeddings of its images."""
    rng = np.random.default_rng(1)
    noise_ND = rng.normal(size=(len(cohort.lesions), 6)).astype("float32")
    image_ND = np.concatenate([image_ND, noise_ND], axis=1)
    return cohort.target(embeddings={"slimp.all.image": image_ND}, fields=FIELDS, **changes)


def one_hot_of(values):
    return np.eye(values.nunique(), dtype="float32")[values.astype("category").cat.codes] * 4


def of(table, field, question, metric="macro_auroc"):
    chosen = (table["field"] == field) & (table["question"] == question) & (table["metric"] == metric)
    (row,) = table[chosen].itertuples()
    return row


def test_what_the_image_shows_is_read_and_what_it_does_not_is_not(telling_cohort):
    table = measure_reading(seeing(telling_cohort, one_hot_of(telling_cohort.lesions["region"])), SETTINGS)
    assert list(table) == READING_COLUMNS and set(table["method"]) == {"slimp"}
    seen, unseen = of(table, "region", READ), of(table, "age_years", READ)
    assert seen.value > 0.99 and seen.level == "lesion" and seen.num_test_patients == 54
    assert 0.3 < unseen.value < 0.7 and unseen.ci_low < 0.5 < unseen.ci_high and unseen.level == "patient"


def test_a_field_that_tells_the_classes_adds_to_an_image_that_does_not_and_nothing_to_one_that_does(telling_cohort):
    blind = measure_reading(seeing(telling_cohort, np.zeros((120, 1), "float32")), SETTINGS)
    gain, nothing = of(blind, "region", ADDS), of(blind, "age_years", ADDS)
    assert gain.value > 0.3 and gain.ci_low > 0.1
    assert abs(nothing.value) < 0.1 and nothing.ci_low < 0.02
    knowing = measure_reading(seeing(telling_cohort, one_hot_of(telling_cohort.lesions["region"])), SETTINGS)
    assert abs(of(knowing, "region", ADDS).value) < 0.01


def test_the_figure_is_that_of_a_plain_probe(telling_cohort):
    target = seeing(telling_cohort, np.zeros((120, 1), "float32"))
    told = telling_cohort.lesions.assign(diagnosis=telling_cohort.lesions["region"])
    plain, _ = measure("small", predict(replace(target, rows=told), SETTINGS), SETTINGS)
    plain = plain[(plain["draw"] == "all") & (plain["protocol"] == "linear_probe")].set_index("metric")
    row = of(measure_reading(target, SETTINGS), "region", READ)
    assert row.value == pytest.approx(plain.loc["macro_auroc", "value"], rel=1e-9)
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(plain.loc["macro_auroc", ["ci_low", "ci_high"]]), rel=1e-9)


def test_numbers_are_read_as_above_or_below_the_median_of_the_training_rows(telling_cohort):
    age = telling_cohort.lesions["age_years"].to_numpy(dtype="float32")
    table = measure_reading(seeing(telling_cohort, age[:, None]), SETTINGS)
    assert of(table, "age_years", READ).value > 0.97
    assert roc_auc_score(age > np.median(age), age) == 1.0


def test_rows_of_which_the_field_is_not_known_do_not_count(telling_cohort):
    telling_cohort.lesions.loc[::3, "region"] = None
    told = one_hot_of(telling_cohort.lesions["region"].fillna("face"))
    assert of(measure_reading(seeing(telling_cohort, told), SETTINGS), "region", READ).value > 0.99


def test_a_field_is_read_on_the_patients_of_whom_it_is_known_and_adds_to_all(telling_cohort):
    patients = telling_cohort.lesions["patient_id"]
    few = sorted(patients.unique())[::3]
    telling_cohort.lesions["region"] = telling_cohort.lesions["region"].where(patients.isin(few))
    tested = telling_cohort.splits.loc[telling_cohort.splits["split"] == "train", "patient_id"].nunique()
    table = measure_reading(seeing(telling_cohort, np.zeros((120, 1), "float32")), SETTINGS)
    assert of(table, "region", READ).num_test_patients <= len(few)
    assert of(table, "region", ADDS).num_test_patients == of(table, "age_years", READ).num_test_patients == tested


def test_a_field_of_one_value_is_not_asked_for(telling_cohort):
    telling_cohort.lesions["region"] = "arm"
    table = measure_reading(seeing(telling_cohort, np.zeros((120, 1), "float32")), SETTINGS)
    assert table[(table["field"] == "region") & (table["question"] == READ)].empty
    assert len(table[table["field"] == "age_years"]) == 3


def test_options_of_a_checkbox_are_asked_one_by_one(telling_cohort):
    itch = np.random.default_rng(3).random(120) < 0.5
    telling_cohort.lesions["symptom.itch"], telling_cohort.lesions["symptom.bleed"] = itch, ~itch
    fields = FIELDS | {"symptom": FieldSpec(kind="checkbox", level="lesion", options={"itch": "i", "bleed": "b"})}
    target = replace(seeing(telling_cohort, itch[:, None].astype("float32")), fields=fields)
    table = measure_reading(target, SETTINGS)
    assert of(table, "symptom.itch", READ).value > 0.97 and of(table, "symptom.bleed", READ).value > 0.97


def test_it_is_not_measured_unless_asked_for(telling_cohort):
    off = SETTINGS.model_copy(update={"field_reading": False})
    table = measure_reading(seeing(telling_cohort, np.zeros((120, 1), "float32")), off)
    assert table.empty and list(table) == READING_COLUMNS


def test_nuisance_fields_are_asked_for_too_and_add_nothing(telling_cohort):
    device = pd.DataFrame({"device": np.where(np.arange(120) % 4 < 2, "a", "b")})
    nuisance = {"device": FieldSpec(kind="categorical", level="lesion", column="d", nuisance=True)}
    target = seeing(telling_cohort, one_hot_of(device["device"]), nuisance=nuisance, nuisance_rows=device)
    table = measure_reading(target, SETTINGS)
    row = of(table, "device", READ)
    assert row.value > 0.99 and row.level == "nuisance"
    assert table[(table["field"] == "device") & (table["question"] == ADDS)].empty
