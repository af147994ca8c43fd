"""Which fields can be compared."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.extrapolation.comparable import comparable_fields


@pytest.fixture
def cohort() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age_years": np.linspace(20, 80, 20),
            "site": ["arm", "leg", None, "back"] * 5,
            "symptom.itch": pd.array([True, None] * 10, dtype="boolean"),
            "symptom.bleed": pd.array([True, False] * 10, dtype="boolean"),
        }
    )


def reason(reference, target, reference_fields, target_fields, name):
    names, others = comparable_fields(reference, target, reference_fields, target_fields)
    assert sorted([*names, *others["field"]]) == sorted({**reference_fields, **target_fields})
    found = others.loc[others["field"] == name, "reason"].tolist()
    return found[0] if found else ""


def test_a_cohort_can_be_compared_with_itself(cohort, fields):
    names, others = comparable_fields(cohort, cohort, fields, fields)
    assert names == list(fields)
    assert list(others) == ["field", "reason"] and others.empty


def test_a_field_that_one_cohort_lacks_is_named(cohort, fields):
    less = {name: field for name, field in fields.items() if name != "site"}
    assert reason(cohort, cohort, less, fields, "site") == "absent from the reference"
    assert reason(cohort, cohort, fields, less, "site") == "absent from the target"


def test_another_kind_is_named(cohort, fields):
    other = fields | {"age_years": FieldSpec(kind="categorical", level="patient", column="age_band")}
    assert reason(cohort, cohort, fields, other, "age_years").startswith("other kind: numeric in the reference, categ")


def test_two_observed_categories_in_common_are_needed(cohort, fields):
    one = cohort.assign(site=["arm", "hand"] * 10)
    assert reason(cohort, one, fields, fields, "site") == "other vocabulary: fewer than two categories in common"
    two = cohort.assign(site=["arm", "back"] * 10)
    assert reason(cohort, two, fields, fields, "site") == ""


def test_one_option_in_common_is_needed(cohort, fields):
    def with_options(*options):
        group = FieldSpec(kind="checkbox", level="lesion", options={name: name for name in options})
        return fields | {"symptom": group}

    assert reason(cohort, cohort, fields, with_options("itch", "pain"), "symptom") == ""
    assert reason(cohort, cohort, fields, with_options("pain"), "symptom") == "other vocabulary: no option in common"


@pytest.mark.parametrize("name", ["age_years", "site"])
def test_a_field_that_is_never_known_is_named(cohort, fields, name):
    empty = cohort.assign(**{name: cohort[name].where(np.zeros(20, dtype=bool))})
    assert reason(empty, cohort, fields, fields, name) == "never known in the reference"
    assert reason(cohort, empty, fields, fields, name) == "never known in the target"
    assert reason(cohort, cohort.drop(columns=name), fields, fields, name) == "never known in the target"


def test_ranges_that_lie_apart_are_flagged_as_other_units(cohort, fields):
    in_months = cohort.assign(age_years=cohort["age_years"] * 12)
    in_months.loc[0, "age_years"] = 30  # a single value in the other's range doesn't count
    assert "other units? The middle 90 % are" in reason(cohort, in_months, fields, fields, "age_years")
    assert reason(cohort, cohort.assign(age_years=80.0 - 5), fields, fields, "age_years") == ""
