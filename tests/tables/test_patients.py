"""The patients table."""

import pandas as pd

from slimp_pipeline.tables.patients import build_patients


def settled(make_lesions, fields, **columns) -> pd.Series:
    count = len(next(iter(columns.values())))
    patients, _ = build_patients(make_lesions(["p"] * count, **columns), fields)
    assert len(patients) == 1
    return patients.iloc[0]


def test_a_number_is_settled_by_the_median_of_the_known_values(make_lesions, fields):
    assert settled(make_lesions, fields, age_years=[40.0, None, 60.0, 41.0]).age_years == 41.0
    assert settled(make_lesions, fields, age_years=[40.0, 41.0]).age_years == 40.5


def test_a_category_is_settled_by_the_most_frequent_known_value(make_lesions, fields):
    assert settled(make_lesions, fields, sex=["male", "female", "male", None, None, None]).sex == "male"


def test_a_tie_is_settled_by_the_first_value_in_order_whatever_the_order_of_rows(make_lesions, fields):
    assert settled(make_lesions, fields, sex=["male", "female"]).sex == "female"
    assert settled(make_lesions, fields, sex=["female", "male"]).sex == "female"


def test_checkboxes_are_settled_option_by_option(make_lesions, fields):
    row = settled(make_lesions, fields, **{"habit.smoke": [True, True, False], "habit.drink": [True, False, None]})
    assert row["habit.smoke"] is True or bool(row["habit.smoke"]) is True
    assert bool(row["habit.drink"]) is False  # a tie: not ticked


def test_what_no_row_knows_stays_missing_and_keeps_its_type(make_lesions, fields):
    lesions = make_lesions(["a", "b"], age_years=[None, None], sex=[None, None], **{"habit.smoke": [None, None]})
    patients, conflicts = build_patients(lesions, fields)
    assert patients[["age_years", "sex", "habit.smoke"]].isna().all(axis=None)
    for column in ("age_years", "sex", "habit.smoke"):
        assert patients[column].dtype == lesions[column].dtype
    assert conflicts.empty


def test_patients_are_sorted_and_their_images_counted(make_lesions, fields):
    patients, _ = build_patients(make_lesions(["b", "a", "b"]), fields)
    assert patients["patient_id"].tolist() == ["a", "b"]
    assert patients["num_images"].tolist() == [1, 2]


def test_only_patient_level_fields_are_gathered(make_lesions, fields):
    patients, _ = build_patients(make_lesions(["a"]), fields)
    assert list(patients) == ["patient_id", "num_images", "age_years", "sex", "habit.smoke", "habit.drink"]


def test_each_conflict_is_reported_with_its_values_and_the_choice(make_lesions, fields):
    lesions = make_lesions(
        ["a", "a", "b", "b", "b"],
        age_years=[40.0, 42.0, 30.0, 30.0, 30.0],
        sex=["male", "male", "male", "female", "male"],
    )
    _, conflicts = build_patients(lesions, fields)
    assert conflicts.to_dict("records") == [
        {"patient_id": "a", "field": "age_years", "values": "40.0, 42.0", "chosen": "41.0"},
        {"patient_id": "b", "field": "sex", "values": "female, male", "chosen": "male"},
    ]


def test_a_missing_value_beside_a_known_one_is_no_conflict(make_lesions, fields):
    lesions = make_lesions(["a", "a"], age_years=[None, 42.0], sex=["male", None], **{"habit.smoke": [None, True]})
    patients, conflicts = build_patients(lesions, fields)
    assert conflicts.empty
    assert list(conflicts) == ["patient_id", "field", "values", "chosen"]
    assert patients["age_years"].tolist() == [42.0]


def test_a_patient_with_one_image_keeps_its_values(make_lesions, fields):
    row = settled(make_lesions, fields, age_years=[33.0], sex=["male"])
    assert (row.age_years, row.sex, row.num_images) == (33.0, "male", 1)


def test_a_cohort_without_patient_fields_still_has_patients(make_lesions, fields):
    patients, conflicts = build_patients(make_lesions(["a", "b"]), {"site": fields["site"]})
    assert list(patients) == ["patient_id", "num_images"]
    assert conflicts.empty
