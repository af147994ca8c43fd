"""Rows of several cohorts in one table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts import combined
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.pipelines.features.nodes import encode
from slimp_pipeline.tables.combined import (
    check_pictures_differ,
    check_units,
    combine,
    facts_of,
    first_tables,
    members_of,
    named_by_cohort,
    put_together,
    split_cohort,
    stored_of,
    told_of,
)
from slimp_pipeline.tables.lesions import Ingested
from slimp_pipeline.tables.missing import choose_fields
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.tables.splits import split_patients, training_partitions

DIAMETER = {"kind": "numeric", "level": "lesion", "column": "d"}
ITCH = {"kind": "checkbox", "level": "lesion", "options": {"itch": "i"}}


def described(name, **fields):
    return {
        "name": name, "title": name, "licence": "CC-0", "source": "s", "folder": name, "tables": [{"file": "t.csv"}],
        "image_id": "id", "patient_id": ["p"], "fields": fields,
    }  # fmt: skip


@pytest.fixture
def both():
    members = {"one": described("one", diameter_mm=DIAMETER), "two": described("two", diameter_mm=DIAMETER, signs=ITCH)}
    return CohortSpec.model_validate({"name": "one+two", "members": members})


def rows(name, count, diameters, **more):
    return pd.DataFrame(
        {
            "image_id": [f"{name}:i{n}" for n in range(count)],
            "lesion_id": [f"{name}:l{n}" for n in range(count)],
            "patient_id": [f"{name}:p{n // 2}" for n in range(count)],
            "diagnosis": ["nevus" if n % 4 else "melanoma" for n in range(count)],
            "diameter_mm": diameters,
            "store_index": pd.array(range(count), dtype="Int64"),
            "cohort": name,
            **more,
        }
    )


def test_tables_of_cohorts_come_apart_as_they_were_put_together(both):
    one = pd.DataFrame({"image_id": ["a"], "diameter_mm": [1.0]})
    two = pd.DataFrame({"image_id": ["a"], "diameter_mm": [2.0], "signs.itch": pd.array([True], dtype="boolean")})
    table = put_together(both, [one, two])
    assert list(table["cohort"]) == ["one", "two"] and table["signs.itch"].dtype == "boolean"
    for (member, own), before in zip(members_of(both, table), (one, two), strict=True):
        pd.testing.assert_frame_equal(own, before)
        assert member.name in ("one", "two")
    alone = next(iter(both.members.values()))
    assert put_together(alone, [one]) is one and next(members_of(alone, one))[1] is one
    assert facts_of(both, alone, told_of(both, ["x", "y"])) == "x" and told_of(alone, ["x"]) == "x"
    assert first_tables(told_of(both, [{"table": "t.csv"}, {"table": "u.csv"}])) == ["one/t.csv", "two/u.csv"]
    assert first_tables(told_of(alone, [{"table": "t.csv"}])) == ["t.csv"]


def test_the_store_knows_images_of_equal_name_apart(both):
    files = named_by_cohort(both, pd.DataFrame({"image_id": ["a", "a"], "cohort": ["one", "two"]}))
    assert list(files["image_id"]) == ["one:a", "two:a"]
    stored = stored_of(both, both.members["two"], files)
    assert list(stored["image_id"]) == ["a"] and list(stored.index) == [1]


def test_a_picture_in_two_cohorts_is_refused_and_named():
    lesions = pd.concat([rows("one", 2, 1.0), rows("two", 2, 1.0)], ignore_index=True)
    lesions["store_index"] = pd.array([0, 1, 2, None], dtype="Int64")
    with pytest.raises(ValueError, match=r"1 pictures stand in several cohorts \(one, two\), first: one:i1 and two:i0"):
        check_pictures_differ(lesions, pd.DataFrame({"sha256": ["x", "y", "y", "y"]}))
    check_pictures_differ(lesions, pd.DataFrame({"sha256": ["x", "x", "y", "z"]}))  # one cohort's own matter


@pytest.mark.parametrize(
    ("other", "refused"), [([40.0, 50.0, 60.0, 70.0], True), ([4.0, 5.0, 6.0, 7.0], False), ([np.nan] * 4, False)]
)
def test_numbers_that_are_of_another_unit_are_refused(both, other, refused):
    lesions = pd.concat([rows("one", 4, [3.0, 4.0, 5.0, 6.0]), rows("two", 4, other)], ignore_index=True)
    if not refused:
        check_units(both, lesions)
        return
    with pytest.raises(ValueError, match=r"'diameter_mm' of one \(median 4.5\) and that of two \(median 55\).*`scale`"):
        check_units(both, lesions)


@given(sizes=st.tuples(st.integers(8, 30), st.integers(8, 30)), seed=st.integers(0, 5))
def test_each_cohort_is_split_as_it_is_alone(sizes, seed):
    members = {name: described(name, diameter_mm=DIAMETER) for name in ("one", "two")}
    both = CohortSpec.model_validate({"name": "one+two", "members": members})
    lesions = pd.concat([rows(name, size, 1.0) for name, size in zip(members, sizes, strict=True)], ignore_index=True)
    settings = FeatureParams(seed=seed, num_folds=3, holdout_share=0.2)
    splits = split_cohort(both, lesions, settings)
    for name in members:
        own = lesions[lesions["cohort"] == name]
        alone = split_patients(
            own.assign(**{column: own[column].str.removeprefix(f"{name}:") for column in ("image_id", "patient_id")}),
            settings,
        )
        found = splits[splits["image_id"].str.startswith(f"{name}:")].set_index("image_id")
        alone = alone.assign(image_id=name + ":" + alone["image_id"]).set_index("image_id")
        assert (found.loc[alone.index, ["split", "fold"]] == alone[["split", "fold"]]).all(axis=None)


def test_an_encoding_is_fitted_on_what_its_partition_is_trained_on_also_where_people_are_in_two_cohorts():
    place = {"kind": "categorical", "level": "lesion", "column": "place", "publish_texts": True}
    members = {name: described(name, place=place) | {"patient_registry": "isic"} for name in ("one", "two")}
    both = CohortSpec.model_validate({"name": "one+two", "members": members})
    lesions = pd.concat([rows("one", 60, 1.0), rows("two", 40, 1.0)], ignore_index=True)
    lesions["patient_id"] = lesions["patient_id"].str.replace(r"^\w+", "isic", regex=True)
    lesions["place"] = lesions["patient_id"] + "'s"
    settings = FeatureParams(num_folds=4)
    splits, patients = split_cohort(both, lesions, settings), build_patients(lesions, both.fields)[0]
    encodings = encode(both, both.members["two"], lesions, patients, splits, settings)
    tested = combined.tested_rows(both, both.members["two"], splits["image_id"])
    trained = training_partitions(splits, tested_N=tested)
    assert list(encodings) == ["all", *trained]
    for name, seen in trained.items():
        of_test = set(splits.loc[tested & splits["fold"].eq(int(name[-1])), "patient_id"])
        known = set(encodings[name]["lesion"]["fields"]["place"]["categories"])
        assert known == {f"{patient}'s" for patient in seen["patient_id"]}
        assert of_test and not known & {f"{patient}'s" for patient in of_test}


def test_a_run_s_split_file_is_for_the_cohort_whose_images_it_names(both, tmp_path):
    lesions = pd.concat([rows("one", 8, 1.0), rows("two", 8, 1.0)], ignore_index=True)
    path = tmp_path / "official.csv"
    path.write_text("image_id,split\n" + "".join(f"i{n},{'test' if n < 2 else 'train'}\n" for n in range(8)))
    splits = split_cohort(both, lesions, FeatureParams(num_folds=2, split_file=path))
    assert splits["split"].eq("test").sum() == 4  # ids of both are i0 to i7
    path.write_text("image_id,split\n" + "".join(f"j{n},train\n" for n in range(8)))
    assert splits_of(splits, "one")["fold"].nunique() == 3
    free = split_cohort(both, lesions, FeatureParams(num_folds=2, split_file=path))
    assert set(free["split"]) == {"train"} and set(free["fold"]) == {0, 1}


def splits_of(splits, name):
    return splits[splits["image_id"].str.startswith(f"{name}:")]


def test_a_cohort_that_is_too_small_to_be_split_is_named(both):
    lesions = pd.concat([rows("one", 8, 1.0), rows("two", 2, 1.0)], ignore_index=True)
    with pytest.raises(ValueError, match=r"cohort two: 1 patients can't fill 3 folds"):
        split_cohort(both, lesions, FeatureParams(num_folds=3))


def test_a_field_that_another_cohort_lacks_may_be_always_present(both):
    lesions = pd.concat([rows("one", 4, 1.0), rows("two", 4, 1.0)], ignore_index=True)
    lesions["signs.itch"] = pd.array([None] * 4 + [True] * 4, dtype="boolean")
    settings = FeatureParams(fields="always_present")
    assert list(choose_fields(both, lesions, settings)) == ["diameter_mm", "signs"]
    lesions.loc[lesions["cohort"] == "one", "diameter_mm"] = np.nan
    assert list(choose_fields(both, lesions, settings)) == ["signs"]


def ingested(name, count, **manifest):
    lesions = rows(name, count, 1.0).drop(columns="cohort")
    for column in ("image_id", "lesion_id", "patient_id"):
        lesions[column] = lesions[column].str.removeprefix(f"{name}:")
    lesions["malignant"] = pd.array([False] * count, dtype="boolean")
    quarantine = pd.DataFrame({"table": ["t.csv", ""], "image_id": ["x", ""], "reason": ["r", "s"]})
    unused = pd.DataFrame({"path": ["p"], "image_id": [""], "unused": ["no_row"]})
    told = {
        "cohort": name, "title": name, "licence": "CC-0", "source": "s", "open_licence": False, "fingerprint": name,
        "num_rows": count, "joins": {}, "decisions": {"drop": 1}, "diagnoses": {"nevus": count}, "notes": ["odd"],
        "num_patients": count, "num_patients_with_image": count,
    }  # fmt: skip
    return Ingested(lesions, quarantine, unused, pd.DataFrame(), told | manifest)


def test_what_was_ingested_of_each_is_counted_together_and_still_known_apart(both):
    parts = {
        "one": ingested("one", 4),
        "two": ingested("two", 2, joins={"u.csv": {"without": 3}}, decisions={"drop": 0}),
    }
    parts["two"].lesions["store_index"] += 4
    whole = combine(both, parts, pd.DataFrame({"sha256": list("abcdef")}))
    assert list(whole.lesions["image_id"]) == [f"one:i{n}" for n in range(4)] + ["two:i0", "two:i1"]
    assert list(whole.lesions["cohort"]) == ["one"] * 4 + ["two"] * 2
    assert list(whole.quarantine["table"]) == ["one/t.csv", "", "two/t.csv", ""]
    assert list(whole.quarantine["image_id"]) == ["one:x", "", "two:x", ""]
    told = whole.manifest
    assert (told["cohort"], told["num_rows"], told["num_patients"]) == ("one+two", 6, 3)
    assert told["joins"] == {"two/u.csv": {"without": 3}} and told["decisions"] == {"drop": 1}
    assert told["diagnoses"] == {"nevus": 6} and told["notes"] == ["one: odd", "two: odd"]
    assert told["licence"] == "one: CC-0; two: CC-0" and told["cohorts"]["two"]["num_rows"] == 2
    other = combine(both, parts, pd.DataFrame({"sha256": list("abcdex")}))
    assert told["fingerprint"] != other.manifest["fingerprint"]
