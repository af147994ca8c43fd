"""Which fields are missing where, and which become features."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.missing import always_present, choose_fields, missing_fields, without_unchosen

FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "smoke": FieldSpec(kind="categorical", level="patient", column="smoke"),
    "symptoms": FieldSpec(kind="checkbox", level="lesion", options={"itch": "itches", "bleed": "bleeds"}),
}


def table(num_rows=120):
    """Rows without labels: age is always known, smoke in half of the rows, both boxes in all."""
    return pd.DataFrame(
        {
            "age_years": 50.0,
            "smoke": pd.Series("yes", index=range(num_rows)).where(np.arange(num_rows) % 2 == 0),
            "symptoms.itch": pd.array([True] * num_rows, dtype="boolean"),
            "symptoms.bleed": pd.array([False] * num_rows, dtype="boolean"),
        }
    )


def hide(lesions, rows, columns):
    lesions.loc[rows, columns] = None
    return lesions


def test_a_checkbox_group_is_missing_where_all_its_options_are():
    lesions = hide(table(6), [0, 1, 2], "symptoms.itch")
    missing = missing_fields(hide(lesions, [2, 3], "symptoms.bleed"), FIELDS)
    assert list(missing) == list(FIELDS) and set(missing.dtypes) == {np.dtype("bool")}
    assert missing["symptoms"].tolist() == [False, False, True, False, False, False]
    assert missing["smoke"].tolist() == [False, True] * 3
    assert not missing["age_years"].any()


def test_fields_that_are_present_are_found_without_reading_labels():
    lesions = hide(table(), range(12), ["symptoms.itch", "symptoms.bleed"])
    assert always_present(lesions, FIELDS, 0.0) == ["age_years"]
    assert always_present(lesions, FIELDS, 0.1) == ["age_years", "symptoms"]
    assert always_present(lesions, FIELDS, 0.49) == ["age_years", "symptoms"]
    assert always_present(lesions, FIELDS, 1.0) == list(FIELDS)


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_the_share_that_may_be_missing_admits_exactly_the_fields_below_it(seed, share, larger):
    rng = np.random.default_rng(seed)
    lesions = pd.DataFrame({f"field{n}": np.where(rng.random(20) < rng.random(), np.nan, 1.0) for n in range(5)})
    fields = {name: FieldSpec(kind="numeric", level="lesion", column=name) for name in lesions}
    chosen = always_present(lesions, fields, share)
    assert chosen == [name for name in fields if sum(np.isnan(value) for value in lesions[name]) / 20 <= share]
    assert set(chosen) <= set(always_present(lesions, fields, max(share, larger)))
    order = rng.permutation(20)
    assert always_present(lesions.iloc[order], fields, share) == chosen


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(ValueError, match="no lesions"):
        always_present(table().iloc[:0], FIELDS, 0.1)
    for share in (10, -0.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            always_present(table(), FIELDS, share)
    with pytest.raises(ValueError, match=r"no column symptoms\.bleed"):
        always_present(table().drop(columns="symptoms.bleed"), FIELDS, 0.1)
    with pytest.raises(ValueError, match=r"no column age_years, smoke"):
        missing_fields(table().drop(columns=["smoke", "age_years"]), FIELDS)


def test_always_present_fields_are_told_from_all_rows_with_an_image_or_not(spec, make_lesions):
    lesions = make_lesions(["a"] * 10 + ["b"] * 10)
    lesions.loc[:9, "store_index"] = pd.NA
    lesions.loc[:1, "diameter_mm"] = np.nan  # 2 of 20, both among the ten without an image
    lesions.loc[:0, ["habit.smoke", "habit.drink"]] = pd.NA  # 1 of 20
    lesions.loc[:5, "symptom.itch"] = pd.NA  # one option of two: the group is known
    settings = FeatureParams(fields="always_present", max_missing_share=0.05)
    without = [name for name in spec.fields if name != "diameter_mm"]
    assert choose_fields(spec, lesions, settings) == {name: spec.fields[name] for name in without}
    assert list(choose_fields(spec, lesions, settings)) == without
    stricter = settings.model_copy(update={"max_missing_share": 0.0})
    assert "habit" not in choose_fields(spec, lesions, stricter)
    looser = settings.model_copy(update={"max_missing_share": 0.1})
    assert list(choose_fields(spec, lesions, looser)) == list(spec.fields)


def test_labels_have_no_say_in_which_fields_are_present(spec, make_lesions):
    lesions = make_lesions(["a"] * 20)
    lesions.loc[:2, "site"] = None
    settings = FeatureParams(fields="always_present")
    chosen = choose_fields(spec, lesions, settings)
    assert "site" not in chosen
    assert choose_fields(spec, lesions.drop(columns=["diagnosis", "malignant"]), settings) == chosen


def test_fields_that_are_named_are_taken_however_much_of_them_is_missing(spec, make_lesions):
    lesions = make_lesions(["a"] * 4, site=[None] * 4)
    assert list(choose_fields(spec, lesions, FeatureParams(fields=["site", "age_years"]))) == ["site", "age_years"]
    assert choose_fields(spec, lesions, FeatureParams(fields="all")) == spec.fields
    assert choose_fields(spec, lesions, FeatureParams(fields=[])) == {}


def test_levels_are_swapped_as_a_control_and_results_say_so(spec, make_lesions):
    settings = FeatureParams(swapped_levels=True)
    chosen = choose_fields(spec, make_lesions(["a"] * 4), settings)
    assert {name: field.level for name, field in chosen.items()} == {
        name: "patient" if field.level == "lesion" else "lesion" for name, field in spec.fields.items()
    }
    assert settings.result_name("clinic") == "clinic (levels swapped: a control)"


def test_a_column_that_leaks_and_a_name_that_is_no_field_are_refused(spec, make_lesions):
    leaking = spec.model_copy(update={"leaks": {"biopsed": "only suspicious lesions are"}})
    with pytest.raises(ValueError, match=r"'biopsed' can't be a feature.*only suspicious lesions are"):
        choose_fields(leaking, make_lesions(["a"]), FeatureParams(fields=["site", "biopsed"]))
    with pytest.raises(ValueError, match=r"no field 'colour'.*diameter_mm"):
        choose_fields(spec, make_lesions(["a"]), FeatureParams(fields=["colour"]))


def test_columns_of_fields_that_are_not_chosen_are_left_out_and_others_stay():
    cohort = SimpleNamespace(fields=FIELDS)
    rows = table(4).assign(image_id=list("abcd"), diagnosis="NEV")
    kept = without_unchosen(rows, cohort, {"age_years": FIELDS["age_years"]})
    assert list(kept) == ["age_years", "image_id", "diagnosis"]
    assert list(without_unchosen(rows, cohort, FIELDS)) == list(rows)
