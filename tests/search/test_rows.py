"""Rows that settings are chosen by: no test row, and no patient on both inner sides."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.conftest import draw_lesions

from slimp_pipeline.parameters import FeatureParams, SearchParams
from slimp_pipeline.search.rows import check_untested, select_search_rows
from slimp_pipeline.tables.splits import split_patients

SEARCH = SearchParams(validation_share=0.25)


def selected(lesions, features, settings=SEARCH, *, is_target=True):
    splits = split_patients(lesions, features)
    tested_N = np.ones(len(splits), dtype=bool) if is_target else None
    return splits, select_search_rows(lesions, splits, features, settings, tested_N=tested_N)


@given(st.integers(8, 60), st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.5]), st.sampled_from([0.1, 0.25, 0.5]))
def test_no_test_row_is_searched_and_no_patient_stands_on_both_inner_sides(num_patients, seed, held_out, share):
    features = FeatureParams(num_folds=0, holdout_share=held_out, seed=seed)
    settings = SearchParams(seed=seed, validation_share=share)
    splits, rows = selected(draw_lesions(num_patients, seed), features, settings)
    assert set(rows["image_id"]) == set(splits.loc[splits["split"] == "train", "image_id"])
    assert not set(rows["patient_id"]) & set(splits.loc[splits["split"] == "test", "patient_id"])
    assert rows.groupby("patient_id")["part"].nunique().max() == 1
    assert set(rows["part"]) == {"training", "validation"}


def test_the_inner_split_is_the_same_at_every_call_and_another_with_another_seed():
    lesions, features = draw_lesions(40), FeatureParams(num_folds=0, holdout_share=0.2)
    rows = [selected(lesions, features, SearchParams(seed=seed))[1] for seed in (0, 0, 1)]
    pd.testing.assert_frame_equal(rows[0], rows[1])
    assert not rows[0].equals(rows[2])


@pytest.mark.parametrize("held_out", [0.0, 0.2])
def test_a_cohort_that_is_tested_in_folds_is_not_searched(held_out):
    features = FeatureParams(num_folds=3, holdout_share=held_out)
    with pytest.raises(ValueError, match=r"test rows would choose settings\. Set features\.num_folds to 0"):
        selected(draw_lesions(40), features)


def test_of_another_cohort_than_the_target_all_rows_are_searched():
    lesions = draw_lesions(40)
    _, rows = selected(lesions, FeatureParams(num_folds=3), is_target=False)
    assert set(rows["image_id"]) == set(lesions["image_id"])


def test_of_several_cohorts_the_targets_test_patients_are_left_out_under_every_image():
    features = FeatureParams(num_folds=0, holdout_share=0.2)
    target, other = draw_lesions(30), draw_lesions(30, seed=1)
    other = other.assign(image_id="other:" + other["image_id"])  # patients of one registry
    splits = pd.concat([split_patients(rows, features) for rows in (target, other)], ignore_index=True)
    tested_N = ~splits["image_id"].str.startswith("other:").to_numpy()
    lesions = pd.concat([target, other], ignore_index=True)
    rows = select_search_rows(lesions, splits, features, SEARCH, tested_N=tested_N)
    tested = set(splits.loc[tested_N & splits["split"].eq("test").to_numpy(), "patient_id"])
    assert tested and set(rows["patient_id"]) == set(lesions["patient_id"]) - tested


def test_a_split_that_leaks_is_not_searched():
    features = FeatureParams(num_folds=0, holdout_share=0.2, split_level="image")
    with pytest.raises(ValueError, match="patients stand on both sides"):
        selected(draw_lesions(40), features)


def test_whole_sites_measure_where_whole_sites_are_tested():
    lesions = draw_lesions(60)
    lesions["site_id"] = "s" + (lesions["patient_id"].str[1:].astype(int) % 6).astype(str)
    features = FeatureParams(num_folds=0, holdout_share=0.2, split_level="site")
    _, rows = selected(lesions, features)
    sites = rows.merge(lesions[["image_id", "site_id"]], on="image_id").groupby("site_id")["part"].nunique()
    assert sites.max() == 1


def test_a_test_patient_among_the_searched_is_refused_also_under_another_image():
    splits = pd.DataFrame(
        {"image_id": ["a", "b"], "patient_id": ["p", "q"], "split": ["train", "test"], "fold": [-1, -1]}
    )
    check_untested(splits[:1], splits)
    with pytest.raises(ValueError, match="1 test patients are among the rows"):
        check_untested(pd.DataFrame({"image_id": ["c"], "patient_id": ["q"]}), splits)
