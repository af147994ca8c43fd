"""Missing and noisy metadata at test time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits.perturbation import Condition, conditions, perturb, perturbed_rows, without_level
from slimp_pipeline.parameters import RobustnessParams

COLUMNS = {"age_years": ["age_years"], "site": ["site"], "symptom": ["symptom.itch", "symptom.pain"]}
FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "site": FieldSpec(kind="categorical", level="lesion", column="region"),
    "symptom": FieldSpec(kind="checkbox", level="lesion", options={"itch": "ITCH", "pain": "PAIN"}),
}


def table(num_rows, seed=0, missing_share=0.2):
    """Rows typed as in the lesions table, each known value of its own where it can be."""
    rng = np.random.default_rng(seed)
    known_NF = rng.random((num_rows, 3)) >= missing_share
    itch = pd.Series(rng.random(num_rows) < 0.5, dtype="boolean").where(known_NF[:, 2])
    return pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(num_rows)],
            "patient_id": [f"p{row}" for row in range(num_rows)],
            "age_years": pd.Series(np.arange(num_rows) + 0.5).where(known_NF[:, 0]),
            "site": pd.Series([f"s{row}" for row in range(num_rows)], dtype="str").where(known_NF[:, 1]),
            "symptom.itch": itch,
            "symptom.pain": ~itch,  # exactly one is ticked in every row: columns that part company show
        }
    )


def changed(before, after, column):
    return ~((before[column] == after[column]) | (before[column].isna() & after[column].isna())).fillna(False)


def same_cells(left, right):
    pd.testing.assert_frame_equal(left, right)
    return True


@given(st.integers(0, 10**6), st.sampled_from(["dropped", "corrupted"]), st.floats(0, 1))
def test_missing_cells_stay_missing_types_stay_and_checkbox_columns_change_together(seed, kind, share):
    rows, donors = table(30, seed), table(10, seed + 1)
    original = rows.copy()
    after = perturb(rows, COLUMNS, kind, share, donors, np.random.default_rng(seed))
    assert same_cells(rows, original)
    assert list(after) == list(rows) and (after.dtypes == rows.dtypes).all()
    assert (after["image_id"] == rows["image_id"]).all()
    columns = [column for names in COLUMNS.values() for column in names]
    assert after[columns].isna()[rows[columns].isna()].sum().sum() == rows[columns].isna().sum().sum()
    assert (after["symptom.itch"].isna() == after["symptom.pain"].isna()).all()
    assert (after["symptom.itch"] ^ after["symptom.pain"]).dropna().all()
    if kind == "corrupted":
        assert (after[columns].isna() == rows[columns].isna()).all(axis=None)
        for column in ("age_years", "site"):
            hit = changed(rows, after, column)
            assert after.loc[hit, column].isin(donors[column].dropna()).all()


@pytest.mark.parametrize("kind", ["dropped", "corrupted"])
def test_a_share_of_0_changes_nothing_and_a_share_of_1_every_known_cell(kind):
    rows, donors = table(40), table(20, seed=1).assign(age_years=lambda frame: -frame["age_years"])
    same_cells(perturb(rows, COLUMNS, kind, 0.0, donors, np.random.default_rng(0)), rows)
    after = perturb(rows, COLUMNS, kind, 1.0, donors, np.random.default_rng(0))
    assert (changed(rows, after, "age_years") == rows["age_years"].notna()).all()


def test_the_share_is_of_known_cells_field_by_field_and_row_by_row():
    rows = table(4000)
    after = perturb(rows, COLUMNS, "dropped", 0.3, rows, np.random.default_rng(0))
    dropped = pd.DataFrame({name: after[columns[0]].isna() for name, columns in COLUMNS.items()})
    known = pd.DataFrame({name: rows[columns[0]].notna() for name, columns in COLUMNS.items()})
    np.testing.assert_allclose(dropped[known].astype(float).mean(), 0.3, atol=0.03)
    all_known = known.all(axis=1)
    together = dropped[all_known].corr().to_numpy()
    np.testing.assert_allclose(together[~np.eye(3, dtype=bool)], 0, atol=0.08)


@pytest.mark.parametrize("kind", ["dropped", "corrupted"])
def test_a_patients_rows_lose_a_field_of_the_patient_together_and_one_of_the_lesion_each_for_itself(kind):
    rows, donors = table(300, missing_share=0), table(50, 1, missing_share=0).replace({"site": r"^s"}, "x", regex=True)
    rows["patient_id"] = np.repeat([f"p{n}" for n in range(100)], 3)
    rows["age_years"] = np.repeat(np.arange(100) + 100.0, 3)
    owners = {"age_years": np.repeat(np.arange(100), 3)}
    after = perturb(rows, COLUMNS, kind, 0.5, donors, np.random.default_rng(0), owners=owners)
    assert len(after[["patient_id", "age_years"]].drop_duplicates()) == 100
    assert 30 < changed(rows, after, "age_years").groupby(rows["patient_id"]).all().sum() < 70
    together = changed(rows, after, "site").groupby(rows["patient_id"]).sum()
    assert set(together) == {0, 1, 2, 3}


def test_wrong_values_come_evenly_from_the_donors_that_know_the_field():
    rows = table(3000, missing_share=0)
    donors = table(4, missing_share=0).assign(age_years=[-1.0, -2.0, np.nan, -3.0])
    after = perturb(rows, COLUMNS, "corrupted", 1.0, donors, np.random.default_rng(0))
    shares = after["age_years"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[[-1.0, -2.0, -3.0]], 1 / 3, atol=0.04)


def test_a_checkbox_group_of_which_one_column_is_known_counts_as_known():
    rows = table(5, missing_share=0)
    rows["symptom.pain"] = pd.array([pd.NA] * 5, dtype="boolean")
    dropped = perturb(rows, COLUMNS, "dropped", 1.0, rows, np.random.default_rng(0))
    assert dropped[["symptom.itch", "symptom.pain"]].isna().all(axis=None)


def test_a_field_that_no_donor_knows_stays_as_it_is():
    rows, donors = table(20), table(5).assign(age_years=np.nan)
    after = perturb(rows, COLUMNS, "corrupted", 1.0, donors, np.random.default_rng(0))
    pd.testing.assert_series_equal(after["age_years"], rows["age_years"])
    assert changed(rows, after, "site").any()


def test_rows_may_bear_any_index():
    rows, repeated = table(20), np.repeat(np.arange(10), 2)
    for kind in ("dropped", "corrupted"):
        plain = perturb(rows, COLUMNS, kind, 0.5, rows, np.random.default_rng(0))
        other = perturb(rows.set_axis(repeated), COLUMNS, kind, 0.5, rows, np.random.default_rng(0))
        same_cells(other, plain.set_axis(repeated))


def test_a_level_goes_missing_and_the_rest_stays():
    rows = table(10)
    after = without_level(rows, COLUMNS, {"age_years", "symptom"})
    assert after[["age_years", "symptom.itch", "symptom.pain"]].isna().all(axis=None)
    same_cells(after[["image_id", "site"]], rows[["image_id", "site"]])
    assert (after.dtypes == rows.dtypes).all() and rows["age_years"].notna().any()
    same_cells(without_level(rows, COLUMNS, set()), rows)


def test_conditions_are_listed_once_each():
    listed = conditions(RobustnessParams(shares=[0.5, 0.0, 0.1, 0.5], num_draws=2), FIELDS)
    assert listed == [
        Condition("intact", 0.0, 0),
        *[Condition("dropped", share, draw) for share in (0.1, 0.5) for draw in (0, 1)],
        *[Condition("corrupted", share, draw) for share in (0.1, 0.5) for draw in (0, 1)],
        Condition("no patient level", 1.0, 0),
        Condition("no lesion level", 1.0, 0),
    ]


@pytest.mark.parametrize(
    "condition", conditions(RobustnessParams(shares=[0.7], num_draws=1), FIELDS), ids=lambda c: c.kind
)
def test_training_rows_stay_intact_under_every_condition_and_other_rows_change(condition):
    rows, train_N = table(60), np.arange(60) % 3 > 0
    original = rows.copy()
    after = perturbed_rows(rows, FIELDS, condition, train_N, seed=0)
    same_cells(after[train_N], rows[train_N])
    assert (after.dtypes == rows.dtypes).all() and after is not rows
    same_cells(rows, original)
    assert after[~train_N].equals(rows[~train_N]) == (condition.kind == "intact")


def test_a_level_is_missing_by_the_level_of_its_fields():
    rows, train_N = table(20), np.arange(20) < 10
    without_patient = perturbed_rows(rows, FIELDS, Condition("no patient level", 1.0, 0), train_N, 0)[~train_N]
    assert without_patient["age_years"].isna().all() and without_patient["site"].notna().any()
    without_lesion = perturbed_rows(rows, FIELDS, Condition("no lesion level", 1.0, 0), train_N, 0)[~train_N]
    assert without_lesion[["site", "symptom.itch", "symptom.pain"]].isna().all(axis=None)
    assert without_lesion["age_years"].notna().any()


def test_wrong_values_come_from_training_rows_alone():
    rows, train_N = table(60, missing_share=0), np.arange(60) < 20
    after = perturbed_rows(rows, FIELDS, Condition("corrupted", 1.0, 0), train_N, 0)
    assert after["age_years"].isin(rows.loc[train_N, "age_years"]).all()
    assert after["site"].isin(rows.loc[train_N, "site"]).all()


def test_draws_depend_on_seed_and_number_and_hit_the_same_cells_at_larger_shares_and_of_either_kind():
    rows, train_N = table(200, missing_share=0), np.arange(200) < 50

    def hit(kind, share, draw=0, seed=0):
        return changed(rows, perturbed_rows(rows, FIELDS, Condition(kind, share, draw), train_N, seed), "site")

    assert (hit("dropped", 0.3) == hit("dropped", 0.3)).all()
    assert (hit("dropped", 0.3) != hit("dropped", 0.3, draw=1)).any()
    assert (hit("dropped", 0.3) != hit("dropped", 0.3, seed=1)).any()
    assert (hit("dropped", 0.3) <= hit("dropped", 0.6)).all()
    assert (hit("dropped", 0.3) == hit("corrupted", 0.3)).all()


def test_degenerate_input_is_refused():
    rows, rng = table(4), np.random.default_rng(0)
    with pytest.raises(ValueError, match="'lost' is not known"):
        perturb(rows, COLUMNS, "lost", 0.5, rows, rng)
    with pytest.raises(ValueError, match=r"share 1\.5"):
        perturb(rows, COLUMNS, "dropped", 1.5, rows, rng)
    with pytest.raises(ValueError, match="share nan"):
        perturb(rows, COLUMNS, "dropped", float("nan"), rows, rng)
    with pytest.raises(ValueError, match="no rows to take"):
        perturb(rows, COLUMNS, "corrupted", 0.5, rows[:0], rng)
    with pytest.raises(ValueError, match="no such field: weight"):
        without_level(rows, COLUMNS, {"weight"})
