"""Encoding of metadata fields."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.encoding import (
    MAX_DEVIATIONS,
    MISSING,
    UNSEEN,
    CategoricalEncoding,
    CheckboxEncoding,
    Encoding,
    LevelEncoding,
    NumericEncoding,
    encode,
    fit_encoding,
    fit_encodings,
    one_hot,
    row_groups,
)
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.tables.splits import partition, split_patients, training_partitions

LEVEL = LevelEncoding(
    fields={
        "diameter_mm": NumericEncoding(mean=4.0, std=2.0, minimum=0.0, maximum=100.0),
        "site": CategoricalEncoding(categories=["arm", "leg"]),
        "symptom": CheckboxEncoding(options=["itch", "bleed"]),
    }
)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=6),
    st.sampled_from(["arm", "leg", "true", "NO", "1", "0", "3.5", "1e400", "-0"]),
)


def frame_of(**columns) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def numbers(values, level=LEVEL) -> list[float]:
    return encode(level, pd.DataFrame({"diameter_mm": values}))["numeric"][:, 0].tolist()


@given(data=st.data(), rows=st.integers(0, 5))
def test_encoding_is_total_whatever_the_columns_hold(data, rows):
    names = data.draw(st.sets(st.sampled_from(["diameter_mm", "site", "symptom.itch", "symptom.bleed", "other"])))
    columns = {name: data.draw(st.lists(anything, min_size=rows, max_size=rows)) for name in sorted(names)}
    frame = frame_of(**columns) if columns else pd.DataFrame(index=range(rows))
    encoded = encode(LEVEL, frame)
    assert {name: (part.shape, part.dtype) for name, part in encoded.items()} == {
        "numeric": ((rows, 1), np.float32),
        "categorical": ((rows, 1), np.int64),
        "checkbox": ((rows, 2), np.float32),
        "checkbox_known": ((rows, 1), np.bool_),
    }
    known = encoded["numeric"][~np.isnan(encoded["numeric"])]
    assert (np.abs(known) <= MAX_DEVIATIONS).all()
    assert set(encoded["categorical"].ravel()) <= {MISSING, UNSEEN, 2, 3}
    assert set(encoded["checkbox"].ravel()) <= {0.0, 1.0}
    assert one_hot(LEVEL, frame).shape == (rows, 2 + 4 + 3)
    assert np.isfinite(one_hot(LEVEL, frame)).all()
    assert len(row_groups(encoded)) == rows


def test_a_true_zero_is_not_missing():
    assert numbers([0.0, np.nan])[0] == -2.0
    assert np.isnan(numbers([0.0, np.nan])[1])


def test_an_impossible_number_becomes_missing_and_a_possible_one_at_the_limit_stays():
    values = numbers([-0.1, 100.1, np.inf, -np.inf, 0.0])
    assert np.isnan(values[:4]).all()
    assert values[4] == -2.0


def test_a_possible_number_far_from_the_training_data_is_held_at_the_outermost_deviation():
    level = LevelEncoding(fields={"diameter_mm": NumericEncoding(mean=0.0, std=1.0, minimum=None, maximum=None)})
    assert numbers([1e30, -1e300, 7.5], level) == [MAX_DEVIATIONS, -MAX_DEVIATIONS, 7.5]


def test_half_a_surrogate_pair_as_json_may_hold_is_a_value_like_any_other():
    frame = pd.DataFrame(json.loads('{"age": ["\\ud800", 50], "itch.a": ["\\ud800", "yes"]}'), dtype=object)
    level = LevelEncoding(
        fields={
            "age": NumericEncoding(mean=40.0, std=10.0, minimum=None, maximum=None),
            "itch": CheckboxEncoding(options=["a"]),
        }
    )
    encoded = encode(level, frame)
    assert np.isnan(encoded["numeric"][0, 0]) and encoded["numeric"][1, 0] == 1
    assert encoded["checkbox_known"][:, 0].tolist() == [False, True]


def test_text_that_reads_as_a_number_counts_and_other_text_is_missing():
    values = numbers(pd.Series(["6", " 8.0 ", "six", "", None], dtype=object))
    assert values[:2] == [1.0, 2.0]
    assert np.isnan(values[2:]).all()


def test_missing_unseen_and_known_categories_have_codes_of_their_own():
    codes = encode(LEVEL, pd.DataFrame({"site": ["arm", "leg", "moon", None, np.nan]}))["categorical"][:, 0]
    assert codes.tolist() == [2, 3, UNSEEN, MISSING, MISSING]


def test_a_checkbox_group_is_known_where_one_of_its_options_is():
    frame = pd.DataFrame(
        {
            "symptom.itch": pd.array([True, False, None, None], dtype="boolean"),
            "symptom.bleed": pd.array([True, None, False, None], dtype="boolean"),
        }
    )
    encoded = encode(LEVEL, frame)
    assert encoded["checkbox"].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert encoded["checkbox_known"][:, 0].tolist() == [True, True, True, False]


def test_checkboxes_read_the_same_words_as_the_cohort_reader_does():
    frame = frame_of(**{"symptom.itch": ["yes", "True", "1", 1, 1.0, True, "no", 0], "symptom.bleed": ["NA"] * 8})
    encoded = encode(LEVEL, frame)
    assert encoded["checkbox"][:, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert encoded["checkbox_known"].all()
    assert not encode(LEVEL, frame_of(**{"symptom.itch": ["?", "maybe"]}))["checkbox_known"].any()


def test_a_group_with_a_tick_that_cannot_be_read_is_not_known():
    frame = frame_of(**{"symptom.itch": ["x", "ja", 2, "yes ", ""], "symptom.bleed": ["no", "yes", "no", "no", "no"]})
    encoded = encode(LEVEL, frame)
    assert encoded["checkbox_known"][:, 0].tolist() == [False, False, False, True, True]
    assert encoded["checkbox"].tolist() == [[0, 0], [0, 0], [0, 0], [1, 0], [0, 0]]


def test_an_absent_column_counts_as_missing_throughout():
    encoded = encode(LEVEL, pd.DataFrame(index=range(3)))
    assert np.isnan(encoded["numeric"]).all()
    assert (encoded["categorical"] == MISSING).all()
    assert not encoded["checkbox_known"].any()


def test_numbers_are_standardised_by_the_known_training_values(make_lesions, fields):
    lesions = make_lesions(["a", "b", "c", "d"], diameter_mm=[2.0, 4.0, 9.0, None])
    patients, _ = build_patients(lesions, fields)
    field = fit_encoding(lesions, patients, fields).lesion.fields["diameter_mm"]
    assert field.mean == 5.0
    assert field.std == pytest.approx(np.sqrt((9 + 1 + 16) / 3))
    assert (field.minimum, field.maximum) == (0.0, 100.0)


def test_a_constant_column_maps_to_zero_and_other_values_to_their_difference(make_lesions, fields):
    lesions = make_lesions(["a", "b"], diameter_mm=[0.1, 0.1])
    level = fit_encoding(lesions, build_patients(lesions, fields)[0], fields).lesion
    assert numbers([0.1, 1.1], level) == pytest.approx([0.0, 1.0])


def test_a_column_that_training_never_had_is_fitted_and_encodes_later_values(make_lesions, fields):
    lesions = make_lesions(["a", "b"], diameter_mm=[None, None], site=[None, None])
    level = fit_encoding(lesions, build_patients(lesions, fields)[0], fields).lesion
    assert level.fields["site"].categories == []
    encoded = encode(level, pd.DataFrame({"diameter_mm": [3.0, None], "site": ["arm", None]}))
    assert encoded["numeric"][0, 0] == 3.0
    assert encoded["categorical"][:, 0].tolist() == [UNSEEN, MISSING]


def test_each_field_is_fitted_on_the_table_of_its_level(make_lesions, fields):
    lesions = make_lesions(["a", "a", "a", "b"], age_years=[20.0, 20.0, 20.0, 60.0])
    encoding = fit_encoding(lesions, build_patients(lesions, fields)[0], fields)
    assert encoding.patient.fields["age_years"].mean == 40.0  # each patient counts once
    assert list(encoding.lesion.fields) == ["diameter_mm", "site", "symptom"]
    assert list(encoding.patient.fields) == ["age_years", "sex", "habit"]
    assert encoding.num_patients == 2


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), value=st.floats(0, 100), word=st.text(min_size=1, max_size=4))
def test_changing_test_patients_changes_nothing_in_a_folds_encoding(random_lesions, fields, seed, value, word):
    lesions = random_lesions(10, 3, seed)
    splits = split_patients(lesions, FeatureParams(seed=seed, num_folds=2))
    tested = lesions["image_id"].isin(splits.loc[partition(splits, "fold_0")[1], "image_id"])
    changed = lesions.copy()
    changed.loc[tested, ["diameter_mm", "age_years"]] = value
    changed.loc[tested, ["site", "sex"]] = word
    changed.loc[tested, "diagnosis"] = word
    training = training_partitions(splits, tested_N=np.ones(len(splits), dtype=bool))
    before, after = (
        fit_encodings(table, build_patients(table, fields)[0], training, fields) for table in (lesions, changed)
    )
    assert before["fold_0"] == after["fold_0"]


def test_there_is_one_encoding_per_partition(random_lesions, fields):
    lesions = random_lesions(12, 2, 3)
    splits = split_patients(lesions, FeatureParams(num_folds=2, holdout_share=0.25))
    patients, _ = build_patients(lesions, fields)
    training = {"all": splits} | training_partitions(splits, tested_N=np.ones(len(splits), dtype=bool))
    encodings = fit_encodings(lesions, patients, training, fields)
    assert list(encodings) == ["all", "fold_0", "fold_1", "holdout"]
    assert encodings["all"] == fit_encoding(lesions, patients, fields)
    for name in ("fold_0", "fold_1", "holdout"):
        rows = splits[partition(splits, name)[0]]
        own = lesions[lesions["image_id"].isin(rows["image_id"])]
        assert encodings[name] == fit_encoding(own, patients[patients["patient_id"].isin(rows["patient_id"])], fields)


@given(
    mean=st.floats(-1e9, 1e9), std=st.floats(1e-9, 1e9), words=st.lists(st.text(max_size=5), max_size=4, unique=True)
)
def test_an_encoding_survives_json_exactly(mean, std, words):
    encoding = Encoding(
        lesion=LevelEncoding(fields={"x": NumericEncoding(mean=mean, std=std, minimum=None, maximum=3.5)}),
        patient=LevelEncoding(
            fields={
                "y": CategoricalEncoding(categories=words, digested=len(words) > 2),
                "z": CheckboxEncoding(options=["a", "b"]),
            }
        ),
        num_patients=3,
    )
    assert Encoding.model_validate_json(encoding.model_dump_json()) == encoding
    assert Encoding.model_validate(encoding.model_dump(mode="json")) == encoding


def test_one_hot_gives_each_code_a_column():
    frame = pd.DataFrame(
        {
            "diameter_mm": [6.0, None],
            "site": ["leg", "moon"],
            "symptom.itch": pd.array([True, None], dtype="boolean"),
            "symptom.bleed": pd.array([False, None], dtype="boolean"),
        }
    )
    # number, its absence | missing, unseen, arm, leg | itch, bleed | group not known
    assert one_hot(LEVEL, frame).tolist() == [[1, 0, 0, 0, 0, 1, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0, 1]]
    assert one_hot(LEVEL, frame).dtype == np.float32


row = st.tuples(
    st.sampled_from([None, 0.0, -0.0, 4.0, 6.0]), st.sampled_from([None, "arm", "moon"]), st.sampled_from([None, True])
)


@given(rows=st.lists(row, min_size=1, max_size=8))
def test_two_rows_share_a_group_exactly_when_their_encoded_fields_are_equal(rows):
    number, site, itch = zip(*rows, strict=True)
    encoded = encode(LEVEL, frame_of(diameter_mm=number, site=site, **{"symptom.itch": itch}))
    groups = row_groups(encoded)
    assert set(groups) == set(range(len(set(groups))))
    for a in range(len(rows)):
        for b in range(len(rows)):
            equal = all(np.array_equal(part[a], part[b], equal_nan=part.dtype.kind == "f") for part in encoded.values())
            assert (groups[a] == groups[b]) == equal


def test_a_level_without_fields_encodes_to_empty_columns_and_one_group():
    encoded = encode(LevelEncoding(fields={}), pd.DataFrame(index=range(3)))
    assert [part.shape for part in encoded.values()] == [(3, 0)] * 4
    assert row_groups(encoded).tolist() == [0, 0, 0]
    assert one_hot(LevelEncoding(fields={}), pd.DataFrame(index=range(3))).shape == (3, 0)


def test_categories_may_come_in_their_own_types():
    level = LevelEncoding(fields={"smoke": CategoricalEncoding(categories=["False", "True"])})
    for values in ([True, False, None], ["True", "False", None]):
        codes = encode(level, pd.DataFrame({"smoke": pd.Series(values, dtype=object)}))["categorical"]
        assert codes[:, 0].tolist() == [3, 2, 0]
    level = LevelEncoding(fields={"skin": CategoricalEncoding(categories=["1.0", "2.0"])})
    assert encode(level, pd.DataFrame({"skin": [2.0, np.nan]}))["categorical"][:, 0].tolist() == [3, 0]


def fitted_site(make_lesions, fields, site, **spec) -> CategoricalEncoding:
    fields = {**fields, "site": fields["site"].model_copy(update=spec)}
    lesions = make_lesions([f"p{row}" for row in range(len(site))], site=site)
    return fit_encoding(lesions, build_patients(lesions, fields)[0], fields).lesion.fields["site"]


NOTES = ["Frau Huber, links", "arm", "Ähre", "arm", None, "zeh"]
VALUES = pd.DataFrame({"site": [*NOTES, "never seen", "Frau Huber, Links"]})


@pytest.mark.parametrize("published", [{"publish_texts": True}, {"categories": sorted(set(NOTES) - {None})}])
def test_free_texts_leave_as_digests_and_encode_as_the_texts_do(make_lesions, fields, published):
    digested, plain = (fitted_site(make_lesions, fields, NOTES, **spec) for spec in ({}, published))
    assert digested.digested and not plain.digested
    assert plain.categories == sorted(set(NOTES) - {None})
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in digested.categories)
    codes = [encode(LevelEncoding(fields={"site": field}), VALUES)["categorical"] for field in (digested, plain)]
    np.testing.assert_array_equal(*codes)
    assert codes[0][:, 0].tolist() == [2, 3, 5, 3, MISSING, 4, UNSEEN, UNSEEN]  # in the order of the texts


def test_a_text_has_another_digest_in_another_field(make_lesions, fields):
    lesions = make_lesions(["a", "b"], site=["left", "left"], sex=["left", "left"])
    encoding = fit_encoding(lesions, build_patients(lesions, fields)[0], fields)
    assert encoding.lesion.fields["site"].categories != encoding.patient.fields["sex"].categories


def test_no_free_text_stands_in_an_encodings_json(make_lesions, fields):
    lesions = make_lesions(["a", "b"], site=["Frau Huber", "links"], sex=["w", "xyzzy"])
    text = fit_encoding(lesions, build_patients(lesions, fields)[0], fields).model_dump_json()
    assert not [word for word in ("Huber", "links", "xyzzy") if word in text]


def test_an_encoding_that_was_written_before_texts_were_digested_reads_as_ever():
    old = CategoricalEncoding.model_validate_json('{"kind": "categorical", "categories": ["arm", "leg"]}')
    assert old.codes("site", pd.Series(["leg", "arm", "toe", None])).tolist() == [3, 2, UNSEEN, MISSING]


def test_any_value_has_a_digest():
    field = CategoricalEncoding(categories=["0" * 16], digested=True)
    values = pd.Series(["\ud800", "", 7, 1.5, True, None, ("a",)], dtype=object)
    assert field.codes("note", values).tolist() == [UNSEEN] * 5 + [MISSING, UNSEEN]


def test_a_category_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="a category stands twice"):
        CategoricalEncoding(categories=["arm", "leg", "arm"])
