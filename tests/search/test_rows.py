"""Rows that settings are chosen by: no test row, and no patient on both inner sides."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.search.conftest import described
from tests.training.conftest import draw_lesions

from slimp_pipeline.cohorts import combined
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import FeatureParams, SearchParams
from slimp_pipeline.search.rows import check_untested, select_search_rows
from slimp_pipeline.tables.combined import split_cohort, stacked
from slimp_pipeline.tables.splits import split_patients

SEARCH = SearchParams(validation_share=0.25)
TINY = described("tiny", site_id="hospital")


def selected(lesions, features, settings=SEARCH, *, is_target=True):
    splits = split_patients(lesions, features)
    tested_N = np.ones(len(splits), dtype=bool) if is_target else None
    return splits, select_search_rows(TINY, lesions, splits, features, settings, tested_N=tested_N)


def several(lesions, **members):
    """Cohorts as one, and their rows: by each one's name its lesions, and what its description says."""
    specs = {name: described(name, **facts) for name, facts in members.items()}
    ids = {"image_id": "image", "lesion_id": "lesion", "patient_id": "patient"}
    rows = [combined.with_cohort(own, specs[name], ids).assign(cohort=name) for name, own in lesions.items()]
    return CohortSpec(name="+".join(specs), members=specs), stacked(rows)


def selected_of_several(source, lesions, features, settings=SEARCH, target=None):
    splits = split_cohort(source, lesions, features)
    tested_N = combined.tested_rows(source, target, splits["image_id"]) if target else None
    return splits, select_search_rows(source, lesions, splits, features, settings, tested_N=tested_N)


def patients_of(rows, cohort, part):
    of_both = rows["image_id"].str.startswith(f"{cohort}:") & rows["part"].eq(part)
    return rows.loc[of_both, "patient_id"].nunique()


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
    source, lesions = several(
        {"target": draw_lesions(30), "other": draw_lesions(30, seed=1)},
        target={"patient_registry": "registry"}, other={"patient_registry": "registry"},
    )  # fmt: skip
    features = FeatureParams(num_folds=0, holdout_share=0.2)
    splits, rows = selected_of_several(source, lesions, features, target=source.members["target"])
    is_tested = splits["image_id"].str.startswith("target:") & splits["split"].eq("test")
    tested = set(splits.loc[is_tested, "patient_id"])
    assert tested and set(rows["patient_id"]) == set(lesions["patient_id"]) - tested


@given(st.integers(0, 5))
def test_a_patient_whom_several_cohorts_know_measures_or_trains_and_never_both(seed):
    source, lesions = several(
        {"one": draw_lesions(30), "two": draw_lesions(40, seed=1)},
        one={"patient_registry": "registry"}, two={"patient_registry": "registry"},
    )  # fmt: skip
    _, rows = selected_of_several(source, lesions, FeatureParams(), SearchParams(seed=seed))
    assert rows.groupby("patient_id")["part"].nunique().max() == 1
    assert set(rows["patient_id"]) == set(lesions["patient_id"])
    assert 4 <= patients_of(rows, "one", "validation") <= 8 and 6 <= patients_of(rows, "two", "validation") <= 10


@pytest.mark.parametrize("seed", range(6))
def test_each_of_several_cohorts_gives_its_share_by_site_where_it_knows_sites(seed):
    clinics = draw_lesions(60)
    clinics["site_id"] = "s" + (clinics["patient_id"].str[1:].astype(int) % 5).astype(str)
    source, lesions = several(
        {"clinics": clinics, "app": draw_lesions(100, seed=1)}, clinics={"site_id": "hospital"}, app={}
    )
    features = FeatureParams(split_level="site", num_folds=3)
    _, rows = selected_of_several(source, lesions, features, SearchParams(seed=seed))
    assert patients_of(rows, "clinics", "validation") == 12 and patients_of(rows, "clinics", "training") == 48
    assert 18 <= patients_of(rows, "app", "validation") <= 22
    sites = rows.merge(lesions[["image_id", "site_id"]], on="image_id").groupby("site_id")["part"].nunique()
    assert sites.max() == 1


def test_one_of_several_cohorts_that_cannot_be_split_trains_whole_and_that_is_said(caplog):
    clinics = draw_lesions(20).assign(site_id="north")
    source, lesions = several(
        {"clinics": clinics.assign(site_id=clinics["patient_id"].lt("p010").map({True: "north", False: "south"})),
         "app": draw_lesions(20, seed=1)},
        clinics={"site_id": "hospital"}, app={},
    )  # fmt: skip
    splits = split_cohort(source, lesions, FeatureParams(split_level="site", num_folds=0, holdout_share=0.5))
    tested_N = splits["image_id"].str.startswith("clinics:").to_numpy()
    features = FeatureParams(split_level="site", num_folds=0, holdout_share=0.5)
    rows = select_search_rows(source, lesions, splits, features, SEARCH, tested_N=tested_N)
    assert patients_of(rows, "clinics", "training") == 10 and patients_of(rows, "clinics", "validation") == 0
    assert patients_of(rows, "app", "validation") == 5
    assert "Of clinics nobody measures, and all train" in caplog.text and "all rows are of one site" in caplog.text


def test_one_patient_alone_cannot_be_split():
    with pytest.raises(ValueError, match="fewer than two patients: none can be held out"):
        selected(draw_lesions(2), FeatureParams(num_folds=0, holdout_share=0.5))


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
