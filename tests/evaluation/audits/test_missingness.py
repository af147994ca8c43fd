"""What missing fields give away."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.config import OmegaConfigLoader
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from slimp_pipeline.cohorts.rows.reader import read_rows
from slimp_pipeline.cohorts.spec import CohortSpec, FieldSpec
from slimp_pipeline.evaluation.audits.missingness import MISSINGNESS_COLUMNS, TOGETHER, missingness_audit
from slimp_pipeline.evaluation.measures.bootstrap import interval, resampled
from slimp_pipeline.evaluation.measures.metrics import auroc
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.settings import CONFIG_LOADER_ARGS
from slimp_pipeline.tables.missing import always_present

SETTINGS = EvaluationParams(num_resamples=100)
FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "smoke": FieldSpec(kind="categorical", level="patient", column="smoke"),
    "symptoms": FieldSpec(kind="checkbox", level="lesion", options={"itch": "itches", "bleed": "bleeds"}),
}


def cohort(num_patients=60, seed=0):
    """Two lesions a patient, of which half the patients' are malignant; smoke is missing at random."""
    rng = np.random.default_rng(seed)
    patient_N = np.repeat(np.arange(num_patients), 2)
    malignant_N = patient_N % 2 == 0
    missing_N = rng.random(2 * num_patients) < 0.5
    return pd.DataFrame(
        {
            "patient_id": [f"p{number:02d}" for number in patient_N],
            "diagnosis": np.where(malignant_N, "MEL", np.where(patient_N % 4 == 1, "NEV", "SEK")),
            "malignant": pd.array(malignant_N, dtype="boolean"),
            "age_years": 50.0,
            "smoke": pd.Series("yes", index=range(2 * num_patients)).where(~missing_N),
            "symptoms.itch": pd.array([True] * 2 * num_patients, dtype="boolean"),
            "symptoms.bleed": pd.array([False] * 2 * num_patients, dtype="boolean"),
        }
    )


def audit(lesions, fields=FIELDS, settings=SETTINGS):
    return missingness_audit(lesions, fields, settings).set_index("field")


def hide(lesions, rows, columns):
    lesions.loc[rows, columns] = None


def test_a_field_that_is_missing_in_benign_lesions_alone_gives_the_label_away():
    lesions = cohort()
    hide(lesions, ~lesions["malignant"], "smoke")
    hide(lesions, lesions["malignant"], ["symptoms.itch", "symptoms.bleed"])
    lesions["smoke"] = lesions["smoke"].mask(lesions["malignant"].astype(bool), "no")
    table = audit(lesions)
    for name in ("smoke", "symptoms", TOGETHER):
        assert table.loc[name, ["auroc", "ci_low", "ci_high"]].tolist() == [1, 1, 1]
        assert table.loc[name, "warning"]
    shares = ["missing_share", "missing_share_malignant", "missing_share_benign"]
    assert table.loc["smoke", shares].tolist() == [0.5, 0, 1]
    assert table.loc["symptoms", shares].tolist() == [0.5, 1, 0]
    assert table.loc[TOGETHER, shares].tolist() == [1, 1, 1]
    assert table["level"].to_dict() == {"age_years": "patient", "smoke": "patient", "symptoms": "lesion"} | {
        TOGETHER: "all"
    }
    assert (table["num_rows"] == 120).all() and (table["num_patients"] == 60).all()


def test_a_field_that_is_missing_at_random_gives_nothing_away():
    table = pd.DataFrame([audit(cohort(seed=seed)).loc["smoke"] for seed in range(10)])
    assert not table["warning"].any()
    assert table["auroc"].mean() == pytest.approx(0.5, abs=0.06)


def test_a_field_that_is_never_missing_has_auroc_one_half_and_no_interval():
    row = audit(cohort()).loc["age_years"]
    assert row[["missing_share", "missing_share_malignant", "auroc"]].tolist() == [0, 0, 0.5]
    assert np.isnan(row["ci_low"]) and np.isnan(row["ci_high"]) and not row["warning"]


def test_a_field_that_is_always_missing_has_no_row_and_no_say():
    lesions = cohort()
    before = audit(lesions)
    hide(lesions, lesions.index, "age_years")
    pd.testing.assert_frame_equal(audit(lesions), before.drop(index="age_years"))


def test_a_checkbox_group_is_missing_where_all_its_options_are():
    lesions = cohort()
    hide(lesions, range(0, 10), "symptoms.itch")
    hide(lesions, range(5, 20), "symptoms.bleed")
    assert audit(lesions).loc["symptoms", "missing_share"] == pytest.approx(5 / 120)


@pytest.mark.parametrize("label", ["malignant", "diagnosis"])
def test_auroc_is_the_mean_over_patient_disjoint_folds(label):
    lesions = cohort(seed=3)
    hide(lesions, lesions.index[lesions["diagnosis"] == "NEV"][::2], "smoke")
    if label == "diagnosis":
        lesions["malignant"] = pd.NA
    row, values = audit(lesions).loc["smoke"], []
    missing, truth = lesions[["smoke"]].isna().to_numpy(), lesions[label].astype(str)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=SETTINGS.seed)
    for train, test in folds.split(missing, truth, lesions["patient_id"]):
        score_NK = LogisticRegression().fit(missing[train], truth[train]).predict_proba(missing[test])
        scores = score_NK[:, 1] if label == "malignant" else score_NK
        values.append(roc_auc_score(truth[test], scores, multi_class="ovr"))
    assert row["auroc"] == pytest.approx(np.mean(values))
    assert row["ci_low"] < row["auroc"] < row["ci_high"]
    assert np.isnan(row["missing_share_malignant"]) == (label == "diagnosis")


def test_the_interval_is_that_of_rows_resampled_by_patient():
    lesions, drawn = cohort(seed=5), []
    hide(lesions, range(20), ["symptoms.itch", "symptoms.bleed"])
    missing = np.stack([lesions["smoke"].isna(), lesions["symptoms.itch"].isna()], axis=1)
    truth, patients = lesions["malignant"].to_numpy(dtype=bool), lesions["patient_id"].to_numpy()
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=SETTINGS.seed)
    for position, (train, test) in enumerate(folds.split(missing, truth, patients)):
        weightings = resampled(patients[test], SETTINGS.num_resamples, (SETTINGS.seed, position))
        score_N = LogisticRegression().fit(missing[train], truth[train]).predict_proba(missing[test])[:, 1]
        drawn.append(auroc(score_N, truth[test], weightings))
    value_R = np.mean(drawn, axis=0)
    expected = value_R[0], *interval(value_R[0], value_R[1:], SETTINGS.confidence)
    row = audit(lesions).loc[TOGETHER]
    assert row[["auroc", "ci_low", "ci_high"]].tolist() == pytest.approx(expected)
    assert row["missing_share"] == missing.any(axis=1).mean()


def test_unlabelled_rows_change_nothing():
    lesions = cohort()
    extra = lesions.assign(diagnosis=None, malignant=pd.NA, smoke=None, patient_id="new")
    both = pd.concat([extra, lesions, extra]).astype({"malignant": "boolean"})
    pd.testing.assert_frame_equal(audit(both), audit(lesions))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_what_is_measured_depends_on_no_value_but_on_what_is_missing(seed):
    lesions, rng = cohort(num_patients=12, seed=seed), np.random.default_rng(seed)
    changed = lesions.assign(age_years=rng.normal(size=24), smoke=lesions["smoke"].replace("yes", "no"))
    few = EvaluationParams(num_resamples=10)
    table = audit(lesions, settings=few)
    pd.testing.assert_frame_equal(audit(changed, settings=few), table)
    known = table.dropna(subset="ci_low")
    assert known["auroc"].between(known["ci_low"], known["ci_high"]).all()
    assert known["ci_low"].ge(0).all() and known["ci_high"].le(1).all()


@pytest.mark.parametrize("num_malignant_patients", [1, 2, 3])
def test_few_malignant_patients_make_fewer_folds_and_a_single_one_none(num_malignant_patients):
    lesions = cohort()
    malignant = lesions["patient_id"].isin([f"p{number:02d}" for number in range(num_malignant_patients)])
    lesions["malignant"], lesions["diagnosis"] = malignant.astype("boolean"), np.where(malignant, "MEL", "NEV")
    table = audit(lesions)
    assert table.empty == (num_malignant_patients == 1)
    assert table["auroc"].between(0, 1).all()


def test_a_class_of_a_single_patient_is_left_out():
    lesions = cohort().assign(malignant=pd.array([pd.NA] * 120, dtype="boolean"))
    without = audit(lesions.iloc[2:])
    lesions.loc[:1, "diagnosis"] = "rare"
    pd.testing.assert_frame_equal(audit(lesions), without)


@pytest.mark.parametrize("diagnosis", [None, "NEV"])
def test_a_cohort_without_usable_label_has_an_empty_table(diagnosis):
    lesions = cohort().assign(diagnosis=diagnosis, malignant=pd.array([pd.NA] * 120, dtype="boolean"))
    table = missingness_audit(lesions, FIELDS, SETTINGS)
    assert table.empty and list(table) == MISSINGNESS_COLUMNS
    assert missingness_audit(cohort().iloc[:0], FIELDS, SETTINGS).empty
    assert missingness_audit(cohort(), {}, SETTINGS).empty


def test_a_field_without_its_column_is_refused():
    with pytest.raises(ValueError, match=r"no column symptoms\.bleed"):
        missingness_audit(cohort().drop(columns="symptoms.bleed"), FIELDS, SETTINGS)


def test_in_pad_ufes_20_unbiopsied_lesions_are_known_by_their_empty_fields():
    if "SLIMP_RAW" not in os.environ:
        pytest.skip("SLIMP_RAW is not set: real cohorts are read only where it names their folder")
    conf = OmegaConfigLoader(str(Path(__file__).parents[3] / "conf"), **CONFIG_LOADER_ARGS)
    spec = CohortSpec(**conf["parameters"]["pad_ufes_20"])
    rows = read_rows(spec, {0: Path(os.environ["SLIMP_RAW"]) / "pad_ufes_20" / "metadata.csv"}).rows
    table = audit(rows, spec.fields, EvaluationParams())
    vanishing = table[table["missing_share"].sub(804 / 2298).abs() < 1e-9]
    assert len(vanishing) == 11  # the other two of the thirteen are empty in further rows
    np.testing.assert_allclose(vanishing["auroc"], 0.833, atol=0.003)
    assert (vanishing["missing_share_malignant"] == 0).all() and vanishing["warning"].all()
    assert table.loc[TOGETHER, "auroc"] > vanishing["auroc"].max()
    assert {"age_years", "site", "itch"} <= set(always_present(rows, spec.fields, 0.05))
    assert not set(always_present(rows, spec.fields, 0.05)) & set(vanishing.index)
