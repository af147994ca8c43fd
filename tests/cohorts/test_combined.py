"""Several cohorts as one source."""

import pandas as pd
import pytest
from pydantic import ValidationError

from slimp_pipeline.cohorts.combined import in_terms_of, names_of, own_ids, rows_of, with_cohort
from slimp_pipeline.cohorts.spec import CohortSpec

AGE = {"kind": "numeric", "level": "patient", "column": "age", "minimum": 0, "maximum": 120}
SITE = {"kind": "categorical", "level": "lesion", "column": "place"}
ITCH = {"kind": "checkbox", "level": "lesion", "options": {"itch": "i", "bleed": "b"}}


def described(name, fields, **more):
    return {
        "name": name, "title": name.upper(), "licence": f"licence of {name}", "source": f"https://{name}",
        "folder": name, "tables": [{"file": "t.csv"}, {"file": "u.csv", "join_on": "id"}], "image_id": "id",
        "patient_id": ["p"], "fields": fields, **more,
    }  # fmt: skip


def together(*cohorts):
    names = [cohort["name"] for cohort in cohorts]
    return CohortSpec.model_validate(
        {"name": "+".join(names), "members": dict(zip(names, cohorts, strict=True))}
    )  # fmt: skip


def test_a_field_that_both_have_is_one_and_holds_what_either_may_say():
    one = described("one", {"age_years": {**AGE, "maximum": 90}, "site": {**SITE, "categories": ["back", "face"]}})
    two = described("two", {"age_years": AGE, "site": {**SITE, "categories": ["face", "trunk"]}, "itching": ITCH})
    both = together(one, two)
    assert list(both.fields) == ["age_years", "site", "itching"]
    assert (both.fields["age_years"].minimum, both.fields["age_years"].maximum) == (0, 120)
    assert both.fields["site"].categories == ["back", "face", "trunk"]
    assert both.fields["itching"].table_columns("itching") == ["itching.itch", "itching.bleed"]
    assert both.licence == "one: licence of one; two: licence of two"


def test_free_texts_of_one_cohort_make_the_common_field_private():
    one = described("one", {"site": {**SITE, "categories": ["back"]}})
    both = together(one, described("two", {"site": SITE}))
    assert both.fields["site"].categories is None and not both.fields["site"].is_public


def test_pictures_of_several_are_shown_only_where_all_licences_allow_it():
    one, two = described("one", {"age_years": AGE}, open_licence=True), described("two", {"age_years": AGE})
    assert not together(one, two).open_licence
    assert together(one, two | {"open_licence": True}).open_licence


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({**SITE, "column": "age"}, r"'age_years' of one and that of two differ in `kind` \(numeric, categorical\)"),
        ({**AGE, "level": "lesion"}, r"differ in `level` \(patient, lesion\)"),
        ({**AGE, "nuisance": True}, r"differ in `nuisance` \(False, True\)"),
        ({**AGE, "weight": 2}, r"differ in `weight` \(1.0, 2.0\)"),
    ],
)
def test_a_name_that_stands_for_two_things_is_refused(other, said):
    with pytest.raises(ValidationError, match=said):
        together(described("one", {"age_years": AGE}), described("two", {"age_years": other}))


def test_checkboxes_with_other_options_are_refused():
    other = {**ITCH, "options": {"itch": "i"}}
    with pytest.raises(ValidationError, match="different options: what isn't ticked where nobody asked can't be told"):
        together(described("one", {"signs": ITCH}), described("two", {"signs": other}))


def test_what_is_changed_for_all_at_once_is_refused_and_the_right_place_said():
    with pytest.raises(ValidationError, match=r"Say in which: source\.cohort\.members\.one\.folder"):
        CohortSpec.model_validate({"name": "one", "folder": "x", "members": {"one": described("one", {})}})
    with pytest.raises(ValidationError, match="members changes tow, and the source is one and two"):
        CohortSpec.model_validate({"name": "one+two", "members": {"one": described("one", {}), "tow": {"folder": "x"}}})


def test_a_source_holds_its_cohorts_and_their_registries():
    one = described("one", {}, patient_registry="town")
    two, other = described("two", {}), CohortSpec.model_validate(described("three", {}, patient_registry="town"))
    both = together(one, two)
    assert both.holds(CohortSpec.model_validate(two)) and not both.holds(other)
    assert both.shares_registry(other)
    assert not both.shares_registry(CohortSpec.model_validate(two))


def test_ids_say_whose_they_are_and_a_registry_s_patients_are_one_person():
    rows = pd.DataFrame({"image_id": ["i1", ""], "patient_id": ["p1", "p2"]})
    one = CohortSpec.model_validate(described("one", {}, patient_registry="town"))
    named = with_cohort(rows, one, {"image_id": "image", "patient_id": "patient"})
    assert named.to_dict("list") == {"image_id": ["one:i1", ""], "patient_id": ["town:p1", "town:p2"]}
    assert list(own_ids(pd.Series(["one:a:b"]))) == ["a:b"]
    assert names_of("one+two") == ["one", "two"] and names_of("one") == ["one"]


def test_ids_of_a_source_compare_with_those_of_the_target():
    one, two = described("one", {}), described("two", {})
    both, target = together(one, two), CohortSpec.model_validate(one)
    rows = pd.DataFrame({"image_id": ["one:a", "two:a"], "patient_id": ["one:p", "two:p"]})
    # Pictures of equal id may be the same; patients of equal id in different cohorts aren't.
    assert in_terms_of(target, both, rows).to_dict("list") == {"image_id": ["a", "a"], "patient_id": ["p", "two:p"]}
    of_lesions = in_terms_of(target, both, rows.assign(lesion_id=["one:l", ""]))
    assert of_lesions["lesion_id"].tolist() == ["l", ""]
    assert in_terms_of(target, target, rows) is rows
    assert list(rows_of(both, target, rows["image_id"])) == [True, False]
    assert list(rows_of(target, target, rows["image_id"])) == [True, True]
