"""Borrowed metadata."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.extrapolation.lend import borrow

COLUMNS = ["age_years", "site", "symptom.itch", "symptom.bleed"]


@pytest.fixture
def reference() -> pd.DataFrame:
    """Four rows as the cohort reader types them, with an index of their own."""
    rows = {
        "image_id": ["a", "b", "c", "d"],
        "age_years": [10.0, 20.0, np.nan, 40.0],
        "site": pd.Series(["arm", "leg", "leg", None], dtype="str"),
        "symptom.itch": pd.array([True, False, None, False], dtype="boolean"),
        "symptom.bleed": pd.array([None, None, None, True], dtype="boolean"),
    }
    return pd.DataFrame(rows).set_axis([9, 8, 7, 6])


def test_one_neighbour_lends_its_values_as_they_are(reference, fields):
    index_QK, similarity_QK = np.array([[3], [0], [2], [0]]), np.array([[0.9], [0.8], [0.7], [0.6]], dtype=np.float32)
    borrowed = borrow(reference, fields, index_QK, similarity_QK, 0.05)
    expected = reference[COLUMNS].iloc[[3, 0, 2, 0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(borrowed[COLUMNS], expected)
    np.testing.assert_array_equal(borrowed["similarity"], similarity_QK[:, 0])
    np.testing.assert_array_equal(borrowed["nearest_row"], [3, 0, 2, 0])
    assert list(borrowed) == [*COLUMNS, "similarity", "nearest_row"]


def test_several_neighbours_are_weighted_by_hand(reference, fields):
    # At temperature 1 and similarities log(3), log(2), 0, the weights go as 3 : 2 : 1.
    similarity_QK = np.log([[3.0, 2.0, 1.0]] * 2)
    borrowed = borrow(reference, fields, np.array([[0, 1, 3], [1, 2, 0]]), similarity_QK, 1.0)
    # Row 0 asks a, b, d: ages 10, 20, 40; sites arm 3, leg 2, unknown; itch 3 of 6; only d knows bleeding.
    # Row 1 asks b, c, a: ages 20 (3) and 10 (1); sites leg 5, arm 1; itch 1 of 4; nobody knows bleeding.
    np.testing.assert_allclose(borrowed["age_years"], [(30 + 40 + 40) / 6, (60 + 10) / 4])
    assert borrowed["site"].tolist() == ["arm", "leg"]
    assert borrowed["symptom.itch"].tolist() == [True, False]
    assert borrowed["symptom.bleed"].tolist() == [True, pd.NA]
    assert (borrowed[COLUMNS].dtypes == reference[COLUMNS].dtypes).all()


def test_categories_of_equal_weight_go_to_the_nearer_neighbour_whatever_the_order_of_summing(fields):
    site_QK = np.random.default_rng(0).permuted(np.tile(["arm", "leg"], (50, 7)), axis=1)
    reference = pd.DataFrame({"site": site_QK.ravel()})
    index_QK = np.arange(700).reshape(50, 14)
    borrowed = borrow(reference, {"site": fields["site"]}, index_QK, np.full((50, 14), 0.3), 0.05)
    np.testing.assert_array_equal(borrowed["site"], site_QK[:, 0])


def test_half_of_the_weight_ticks_a_box_whatever_the_order_of_summing():
    field = FieldSpec(kind="checkbox", level="lesion", options={"itch": "itch"})
    rng = np.random.default_rng(0)
    ticked_QK = rng.permuted(np.tile([True, False], (50, 7)), axis=1)
    reference = pd.DataFrame({"symptom.itch": ticked_QK.ravel()})
    borrowed = borrow(reference, {"symptom": field}, np.arange(700).reshape(50, 14), np.full((50, 14), 0.3), 0.05)
    assert borrowed["symptom.itch"].all() and borrowed["symptom.itch"].dtype == bool


def test_a_value_that_no_neighbour_knows_is_missing(reference, fields):
    borrowed = borrow(reference, fields, np.array([[2, 2]]), np.ones((1, 2)), 0.05)
    assert borrowed[COLUMNS].isna().iloc[0].tolist() == [True, False, True, True]
    borrowed = borrow(reference, fields, np.array([[3, 3]]), np.ones((1, 2)), 0.05)
    assert borrowed[COLUMNS].isna().iloc[0].tolist() == [False, True, False, False]


def test_a_far_neighbour_lends_what_the_near_ones_do_not_know_at_any_temperature(reference, fields):
    borrowed = borrow(reference, fields, np.array([[2, 1]]), np.array([[1.0, -1.0]]), 1e-6)
    assert borrowed.loc[0, "age_years"] == 20 and borrowed.loc[0, "site"] == "leg"
    assert not borrowed.loc[0, "symptom.itch"]


def slow_values(values, weights):
    """Mean and commonest of known values, in the order of nearness."""
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = sum(weight for _, weight in known)
    votes = {}
    for value, weight in known:
        votes[value] = votes.get(value, 0) + weight
    top = max(votes.values(), default=0)
    commonest = next((value for value in votes if votes[value] > top - 1e-9), None)
    return (sum(value * weight for value, weight in known) / total if known else None), commonest


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_means_and_votes_equal_a_slow_loop(seed, num_neighbours):
    rng = np.random.default_rng(seed)
    value_R = rng.choice([None, 0.0, 1.0, 2.0], 8).tolist()
    reference = pd.DataFrame({"number": value_R, "name": [None if v is None else f"c{v:g}" for v in value_R]})
    fields = {
        "number": FieldSpec(kind="numeric", level="lesion", column="raw"),
        "name": FieldSpec(kind="categorical", level="lesion", column="raw"),
    }
    index_QK = rng.integers(0, 8, (5, num_neighbours))
    similarity_QK = -np.sort(-rng.integers(0, 3, (5, num_neighbours)) / 4.0, axis=1)
    borrowed = borrow(reference.astype({"number": float}), fields, index_QK, similarity_QK, 0.5)
    for q in range(5):
        values, weights = [value_R[r] for r in index_QK[q]], np.exp(similarity_QK[q] / 0.5)
        mean, commonest = slow_values(values, weights)
        if mean is None:
            assert borrowed.loc[q, ["number", "name"]].isna().all()
        else:
            assert borrowed.loc[q, "number"] == pytest.approx(mean) and borrowed.loc[q, "name"] == f"c{commonest:g}"


def test_means_of_whole_numbers_are_not_cut():
    reference, field = pd.DataFrame({"count": [1, 2]}), FieldSpec(kind="numeric", level="lesion", column="raw")
    assert borrow(reference, {"count": field}, np.array([[0, 1]]), np.ones((1, 2)), 1.0).loc[0, "count"] == 1.5


@pytest.mark.parametrize("num_neighbours", [1, 3])
def test_no_field_and_no_row_leave_an_empty_table(reference, fields, num_neighbours):
    shape = (0, num_neighbours)
    assert borrow(reference, fields, np.empty(shape, dtype=int), np.empty(shape), 0.05).empty
    borrowed = borrow(reference, {}, np.zeros((2, num_neighbours), dtype=int), np.ones((2, num_neighbours)), 0.05)
    assert list(borrowed) == ["similarity", "nearest_row"] and len(borrowed) == 2


def test_input_that_does_not_fit_is_refused(reference, fields):
    index_QK, similarity_QK = np.array([[0, 1]]), np.ones((1, 2))
    with pytest.raises(ValueError, match=r"no column symptom\.bleed"):
        borrow(reference.drop(columns="symptom.bleed"), fields, index_QK, similarity_QK, 1.0)
    with pytest.raises(ValueError, match="may not be called similarity"):
        taken = reference.assign(similarity=1.0)
        borrow(taken, {"similarity": fields["age_years"]}, index_QK, similarity_QK, 1.0)
    with pytest.raises(ValueError, match="shapes"):
        borrow(reference, fields, index_QK, np.ones((1, 3)), 1.0)
    with pytest.raises(ValueError, match="rows 0 to 3"):
        borrow(reference, fields, np.array([[0, 4]]), similarity_QK, 1.0)
    with pytest.raises(ValueError, match="NaN"):
        borrow(reference, fields, index_QK, np.array([[1.0, np.nan]]), 1.0)
    with pytest.raises(ValueError, match="temperature"):
        borrow(reference, fields, index_QK, similarity_QK, 0.0)


def test_columns_of_a_field(fields):
    assert [field.table_columns(name) for name, field in fields.items()] == [COLUMNS[:1], COLUMNS[1:2], COLUMNS[2:]]
