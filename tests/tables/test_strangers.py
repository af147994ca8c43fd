"""Metadata of strangers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.encoding import fit_encoding
from slimp_pipeline.tables.strangers import shuffled_between_patients, with_strangers_metadata

FIELDS = {
    "diameter_mm": FieldSpec(kind="numeric", level="lesion", column="d"),
    "age_years": FieldSpec(kind="numeric", level="patient", column="a"),
}


@pytest.mark.parametrize("seed", range(5))
def test_metadata_come_from_one_other_patient(seed):
    patient_N = np.array(list("aaabbcdddd"))
    donor_N = shuffled_between_patients(patient_N, np.random.default_rng(seed))
    lenders = set()
    for patient in "abcd":
        (lender,) = set(patient_N[donor_N[patient_N == patient]])
        assert lender != patient
        lenders.add(lender)
        # Each row of the lender's is lent before any is lent again.
        lent = donor_N[patient_N == patient]
        assert len(set(lent)) == min(len(lent), (patient_N == lender).sum())
    assert lenders == set("abcd")


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from("xyz")), min_size=2, max_size=40), st.integers(0, 9))
def test_a_patient_of_the_same_site_lends_where_there_is_another(rows, seed):
    site_of = dict(rows)
    patient_N = np.array([patient for patient, _ in rows])
    if len(site_of) < 2:
        return
    site_N = np.array([site_of[patient] for patient in patient_N])
    donor_N = shuffled_between_patients(patient_N, np.random.default_rng(seed), [site_N])
    assert (patient_N[donor_N] != patient_N).all()
    size_of = pd.Series(site_of).value_counts()
    # Patients who are alone at their site join the largest circle: there a stranger of another site may lend.
    within = size_of.index[(size_of > 1) & ((size_of < size_of.max()) | (size_of > 1).all())]
    chosen = np.isin(site_N, within)
    assert (site_N[donor_N] == site_N)[chosen].all()


@given(
    rows=st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ab"), st.sampled_from(["x", "y", None])), min_size=2),
    seed=st.integers(0, 9),
)
def test_whoever_is_alone_at_a_site_gets_a_strangers_of_the_same_cohort(rows, seed):
    place_of = {patient: (cohort, site) for patient, cohort, site in rows}
    if len(place_of) < 2:
        return
    patient_N = np.array([patient for patient, *_ in rows])
    cohort_N, site_N = (np.array([place_of[patient][level] for patient in patient_N], dtype=object) for level in (0, 1))
    donor_N = shuffled_between_patients(patient_N, np.random.default_rng(seed), [cohort_N, site_N])
    assert (patient_N[donor_N] != patient_N).all()
    size_of = pd.Series([cohort for cohort, _ in place_of.values()]).value_counts()
    if (size_of > 1).all():  # the only patient of a cohort has no other choice
        assert (cohort_N[donor_N] == cohort_N).all()


def test_a_cohort_of_sites_with_a_patient_each_does_not_borrow_from_a_larger_one():
    lesions = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(12)],
            "patient_id": [f"p{row}" for row in range(12)],
            "cohort": ["small"] * 3 + ["large"] * 9,
            "site_id": ["north", "south", "west", *[None] * 9],
            "diameter_mm": np.arange(12.0),
        }
    )
    patients = pd.DataFrame({"patient_id": lesions["patient_id"], "age_years": np.arange(12.0)})
    lent, of_patients = with_strangers_metadata(lesions, patients, fit_encoding(lesions, patients, FIELDS), 0)
    for table, column in ((lent, "diameter_mm"), (of_patients, "age_years")):
        assert sorted(table[column][:3]) == [0, 1, 2] and sorted(table[column][3:]) == list(range(3, 12))


def test_without_sites_the_draw_is_that_of_one_site():
    patient_N, draw = np.array(list("aabbcde")), np.random.default_rng
    one_site = shuffled_between_patients(patient_N, draw(3), [np.full(7, "x")])
    assert (shuffled_between_patients(patient_N, draw(3)) == one_site).all()


@pytest.fixture
def tables():
    lesions = pd.DataFrame(
        {
            "image_id": list("uvwxyz"),
            "patient_id": ["a", "a", "b", "b", "c", "c"],
            "diameter_mm": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "diagnosis": ["n", "n", "m", "m", "n", "m"],
        }
    )
    patients = pd.DataFrame({"patient_id": ["a", "b", "c", "of no lesion here"], "age_years": [10.0, 20.0, 30.0, 40.0]})
    return lesions, patients


@pytest.mark.parametrize("seed", range(4))
def test_both_levels_come_from_one_lender_and_all_else_stays(tables, seed):
    lesions, patients = tables
    lent, of_patients = with_strangers_metadata(lesions, patients, fit_encoding(lesions, patients, FIELDS), seed)
    owner = dict(zip(lesions["diameter_mm"], lesions["patient_id"], strict=True))
    age_of = patients.set_index("patient_id")["age_years"]
    for patient in "abc":
        (lender,) = {owner[value] for value in lent.loc[lent["patient_id"] == patient, "diameter_mm"]}
        assert lender != patient
        assert of_patients.set_index("patient_id").loc[patient, "age_years"] == age_of[lender]
    assert of_patients["age_years"].iloc[3] == 40.0
    pd.testing.assert_frame_equal(lent.drop(columns="diameter_mm"), lesions.drop(columns="diameter_mm"))
    assert lesions["diameter_mm"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("seed", range(4))
def test_with_three_levels_a_lesion_has_one_lender_whose_pictures_lend_in_turn(seed):
    lesions = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(9)],
            "lesion_id": list("112112112"),
            "patient_id": list("aaabbbccc"),
            "hair": np.arange(9.0),
            "diameter_mm": [1.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0, 6.0],
        }
    )
    patients = pd.DataFrame({"patient_id": list("abc"), "age_years": [10.0, 20.0, 30.0]})
    fields = FIELDS | {"hair": FieldSpec(kind="numeric", level="image", column="h")}
    lent, _ = with_strangers_metadata(lesions, patients, fit_encoding(lesions, patients, fields), seed)
    diameter_of = dict(zip(lesions["hair"], lesions["diameter_mm"], strict=True))
    assert lent["diameter_mm"].tolist() == lent["hair"].map(diameter_of).tolist()  # of one lender, picture and lesion
    for _, own in lent.groupby(["patient_id", "lesion_id"]):
        assert len(set(own["diameter_mm"])) == 1
        num_lent = (lesions["diameter_mm"] == own["diameter_mm"].iloc[0]).sum()
        assert own["hair"].nunique() == min(len(own), num_lent)
    owner = dict(zip(lesions["diameter_mm"], lesions["patient_id"], strict=True))
    assert (lent["diameter_mm"].map(owner) != lent["patient_id"]).all()
