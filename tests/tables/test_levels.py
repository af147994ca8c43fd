"""Levels: pictures inside lesions, lesions inside patients."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.encoding import Encoding, fit_encoding, fit_encodings
from slimp_pipeline.tables.levels import (
    CONFLICT_COLUMNS,
    lesion_numbers,
    owner_numbers,
    say_what_stands_alone,
    settle_lesions,
    settle_where_three,
)
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.patients import build_patients

KINDS = {"diameter_mm": "numeric", "site": "categorical", "symptom.itch": "checkbox"}
MODALITY = FieldSpec(kind="categorical", level="image", column="modality")


@pytest.fixture
def three(fields):
    return {**fields, "modality": MODALITY}


@pytest.fixture
def pictures(make_lesions):
    """Two lesions of patient a, of three pictures and one; one of b, with an id that a has, too."""
    return make_lesions(
        list("aabab"),
        lesion_id=["1", "1", "1", "2", "1"],
        diameter_mm=[4.0, 6.0, 1.0, 9.0, None],
        site=["leg", "arm", None, "back", "face"],
    ).assign(modality=["clinical", "dermoscopic", "clinical", "clinical", "dermoscopic"])


def test_lesions_are_numbered_as_they_first_appear_and_patients_may_share_their_ids(pictures):
    assert lesion_numbers(pictures).tolist() == [0, 0, 1, 2, 1]


def test_rows_that_do_not_tell_lesions_are_refused(pictures):
    with pytest.raises(
        ValueError, match="lesion_id must be there, in every row: with fields of the level image it must be told"
    ):
        lesion_numbers(pictures.drop(columns="lesion_id"))
    with pytest.raises(ValueError, match=r"^lesion_id must be there"):
        lesion_numbers(pictures.assign(lesion_id=["1", None, "1", "2", "1"]))


def test_all_rows_of_a_lesion_get_its_settled_values_and_conflicts_are_told(pictures):
    settled, conflicts = settle_lesions(pictures, KINDS)
    assert settled["diameter_mm"].tolist() == [5.0, 5.0, 1.0, 9.0, 1.0]  # medians; what one picture knows, all know
    assert settled["site"].tolist() == ["arm", "arm", "face", "back", "face"]  # a tie: the first in order
    assert (settled.dtypes == pictures.dtypes).all()
    pd.testing.assert_frame_equal(settled.drop(columns=list(KINDS)), pictures.drop(columns=list(KINDS)))
    assert conflicts.to_dict("records") == [
        {"lesion_id": "1", "patient_id": "a", "field": "diameter_mm", "values": "4.0, 6.0", "chosen": "5.0"},
        {"lesion_id": "1", "patient_id": "a", "field": "site", "values": "arm, leg", "chosen": "arm"},
    ]


def test_lesions_of_one_picture_each_are_as_they_were(random_lesions):
    rows = random_lesions(5, 3, 0)
    settled, conflicts = settle_lesions(rows, KINDS)
    pd.testing.assert_frame_equal(settled, rows)
    assert conflicts.empty


@given(seed=st.integers(0, 100))
def test_the_order_of_pictures_settles_nothing(random_lesions, seed):
    rng = np.random.default_rng(seed)
    rows = random_lesions(4, 5, seed)
    rows["lesion_id"] = rng.choice(["1", "2"], len(rows))
    order = rng.permutation(len(rows))
    settled, conflicts = settle_lesions(rows, KINDS)
    again, told = settle_lesions(rows.iloc[order].reset_index(drop=True), KINDS)
    pd.testing.assert_frame_equal(again, settled.iloc[order].reset_index(drop=True))
    by = ["lesion_id", "patient_id", "field"]
    pd.testing.assert_frame_equal(told.sort_values(by, ignore_index=True), conflicts.sort_values(by, ignore_index=True))


def test_with_two_levels_nothing_is_settled(pictures, fields):
    settled, conflicts = settle_where_three(pictures, fields)
    assert settled is pictures and conflicts.empty and list(conflicts) == CONFLICT_COLUMNS


def test_a_field_of_a_lesion_is_the_lesions_with_three_levels_and_the_pictures_with_two(pictures, fields, three):
    assert owner_numbers(pictures, fields)["site"].tolist() == [0, 1, 2, 3, 4]
    owners = owner_numbers(pictures, three)
    assert owners["site"].tolist() == [0, 0, 1, 2, 1]
    assert owners["modality"].tolist() == [0, 1, 2, 3, 4]
    assert owners["age_years"].tolist() == [0, 0, 1, 0, 1]


def test_fields_of_pictures_make_an_encoding_of_three_levels_and_lesions_count_once(pictures, three):
    training = {"all": pictures, "fold_1": pictures[[True, True, False, True, False]]}
    encodings = fit_encodings(pictures, build_patients(pictures, three)[0], training, three)
    encoding = encodings["all"]
    assert encoding.has_three_levels and list(encoding.levels) == ["image", "lesion", "patient"]
    assert list(encoding.image.fields) == ["modality"]
    assert list(encoding.of_rows.fields) == ["modality", "diameter_mm", "site", "symptom"]
    assert encoding.lesion.fields["diameter_mm"].mean == pytest.approx((5 + 1 + 9) / 3)  # of lesions, not of pictures
    assert encodings["fold_1"].lesion.fields["diameter_mm"].mean == pytest.approx((5 + 9) / 2)
    assert encoding.lesion_numbers(pictures).tolist() == [0, 0, 1, 2, 1]


def test_without_them_there_are_two_and_each_picture_is_a_lesion_of_its_own(pictures, fields):
    encoding = fit_encoding(pictures, build_patients(pictures, fields)[0], fields)
    assert not encoding.has_three_levels and list(encoding.levels) == ["lesion", "patient"]
    assert encoding.lesion_numbers(pictures[["patient_id"]]).tolist() == [0, 1, 2, 3, 4]
    assert encoding.of_rows == encoding.lesion


def test_an_encoding_from_before_levels_and_weights_is_read(pictures, fields):
    encoding = fit_encoding(pictures, build_patients(pictures, fields)[0], fields)
    told = encoding.model_dump(mode="json")
    del told["image"]
    for level in ("lesion", "patient"):
        for field in told[level]["fields"].values():
            del field["weight"]
    assert Encoding.model_validate(told) == encoding


def test_weights_go_from_the_cohort_into_the_encoding_in_token_order(pictures, fields):
    weighted = fields | {
        "site": fields["site"].model_copy(update={"weight": 2.5}),
        "symptom": fields["symptom"].model_copy(update={"weight": 0.5}),
    }
    encoding = fit_encoding(pictures, build_patients(pictures, weighted)[0], weighted)
    assert encoding.lesion.weights == [1.0, 2.5, 0.5]  # diameter, site, symptom
    assert encoding.patient.weights == [1.0, 1.0, 1.0]


def test_swapped_levels_put_the_innermost_in_the_place_of_the_outermost(spec, three, pictures):
    cohort = spec.model_copy(update={"fields": three})
    chosen = choose_fields(cohort, pictures, FeatureParams(swapped_levels=True))
    assert {name: field.level for name, field in chosen.items()} == {
        **dict.fromkeys(["diameter_mm", "site", "symptom"], "lesion"),
        **dict.fromkeys(["age_years", "sex", "habit"], "image"),
        "modality": "patient",
    }


def test_a_grouping_of_one_each_is_said(pictures, three, fields, caplog):
    with caplog.at_level(logging.INFO):
        say_what_stands_alone("clinic", pictures, three)
        say_what_stands_alone("clinic", pictures.iloc[[0, 2]], fields)
    assert not caplog.messages
    with caplog.at_level(logging.INFO):
        say_what_stands_alone("clinic", pictures.iloc[[0, 2]], three)
    assert caplog.messages == [
        "clinic: every lesion has one picture: there is nothing to pool into lesions",
        "clinic: every patient has one lesion: there is nothing to pool into phenotypes",
    ]
