"""Whole sites held out."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.sites import site_groups
from slimp_pipeline.tables.splits import partition, partition_names, split_patients

SITES = FeatureParams(split_level="site", num_folds=2)


def seen(*visits):
    """Rows of (patient, site)."""
    patients, sites = zip(*visits, strict=True)
    ids = [f"i{number}" for number in range(len(visits))]
    return pd.DataFrame({"image_id": ids, "patient_id": patients, "site_id": sites, "diagnosis": "nevus"})


def together(groups):
    """Numbers of groups, in the order in which they first appear."""
    return pd.factorize(groups)[0].tolist()


def test_all_of_a_site_stay_together():
    assert together(site_groups(seen(("a", "north"), ("b", "south"), ("c", "north")))) == [0, 1, 0]


def test_sites_that_share_a_patient_stay_together(caplog):
    lesions = seen(("a", "north"), ("b", "south"), ("a", "west"), ("c", "west"), ("d", "south"))
    with caplog.at_level(logging.WARNING):
        assert together(site_groups(lesions)) == [0, 1, 0, 0, 1]
    assert "3 sites are 2 groups to be held out: some patients were seen at several sites" in caplog.text


def test_a_row_without_site_goes_with_its_patient_and_patients_without_any_are_one_more_group(caplog):
    lesions = seen(("a", "north"), ("a", None), ("b", "south"), ("c", None), ("d", None))
    with caplog.at_level(logging.WARNING):
        assert together(site_groups(lesions)) == [0, 0, 1, 2, 2]
    assert "2 patients have no known site: they are held out together" in caplog.text


@given(data=st.data())
def test_neither_site_nor_patient_crosses_a_partition(data):
    visits = st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", "c", "d", "e", None]))
    drawn = data.draw(st.lists(visits, min_size=6, max_size=60))
    lesions = seen(*[(f"p{patient}", site) for patient, site in drawn])
    if lesions["site_id"].nunique() < 2 or len(set(site_groups(lesions))) < 2:
        return
    splits = split_patients(lesions, SITES.model_copy(update={"seed": data.draw(st.integers(0, 5))}))
    site = splits.merge(lesions[["image_id", "site_id"]], on="image_id")["site_id"]
    for name in partition_names(splits):
        train, test = partition(splits, name)
        assert not set(splits.loc[train, "patient_id"]) & set(splits.loc[test, "patient_id"])
        assert not set(site[train].dropna()) & set(site[test].dropna())


def test_a_hold_out_is_of_whole_sites_too():
    lesions = seen(*[(f"p{number}", f"s{number % 5}") for number in range(50)])
    splits = split_patients(lesions, SITES.model_copy(update={"holdout_share": 0.2}))
    by_site = splits.merge(lesions[["image_id", "site_id"]]).groupby("site_id")["fold"]
    assert by_site.agg(["min", "max"]).nunique(axis=1).eq(1).all() and sorted(by_site.first().value_counts()) == [
        1,
        2,
        2,
    ]


@pytest.mark.parametrize(
    ("lesions", "words"),
    [
        (seen(("a", "x"), ("b", "y")).drop(columns="site_id"), "doesn't say which column names the site"),
        (seen(("a", "north"), ("b", "north")), "all rows are of one site: none can be held out"),
        (seen(("a", None), ("b", None)), "no site is known: none can be held out"),
        (
            seen(("a", "x"), ("a", "y"), ("b", "y")),
            "1 groups of sites can't fill 2 folds. Set features.num_folds lower",
        ),
    ],
    ids=["no column", "one site", "no site", "one group"],
)
def test_sites_that_cannot_be_held_out_are_refused(lesions, words):
    with pytest.raises(ValueError, match=words):
        split_patients(lesions, SITES)


def test_a_split_file_that_tears_a_site_is_refused(tmp_path):
    lesions = seen(("a", "x"), ("b", "x"), ("c", "y"), ("d", "z"))
    path = tmp_path / "split.csv"
    lesions.assign(split=["train", "test", "train", "train"])[["image_id", "split"]].to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"rows of 1 sites.*keeps sites whole"):
        split_patients(lesions, SITES.model_copy(update={"split_file": path}))
    lesions.assign(split=["test", "test", "train", "train"])[["image_id", "split"]].to_csv(path, index=False)
    splits = split_patients(lesions, SITES.model_copy(update={"split_file": path}))
    assert splits["fold"].tolist()[:2] == [-1, -1] and sorted(splits["fold"].tolist()[2:]) == [0, 1]


def test_results_say_that_whole_sites_were_held_out_and_that_is_no_leak():
    assert SITES.result_name("clinic") == "clinic (whole sites held out)" and not SITES.leaks


def test_a_site_is_of_no_more_groups_than_there_are_rows():
    lesions = seen(*[(f"p{number}", f"s{number}") for number in range(7)])
    assert len(np.unique(site_groups(lesions))) == 7
