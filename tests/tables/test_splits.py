"""Patient-disjoint splits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.csv_cells import csv_text
from slimp_pipeline.tables.splits import (
    ALL,
    HOLDOUT,
    check_patient_disjoint,
    partition,
    partition_names,
    split_patients,
    training_partitions,
    usable_rows,
)


@given(
    num_patients=st.integers(8, 40),
    most_lesions=st.integers(1, 6),
    seed=st.integers(0, 1000),
    num_folds=st.integers(2, 4),
    holdout_share=st.sampled_from([0.0, 0.1, 0.25, 0.4]),
)
def test_no_patient_crosses_a_fold_or_the_hold_out_and_every_image_stands_once(
    random_lesions, num_patients, most_lesions, seed, num_folds, holdout_share
):
    lesions = random_lesions(num_patients, most_lesions, seed)
    splits = split_patients(lesions, FeatureParams(seed=seed, num_folds=num_folds, holdout_share=holdout_share))
    assert sorted(splits["image_id"]) == sorted(lesions["image_id"])
    assert splits.groupby("patient_id")[["split", "fold"]].nunique().max(axis=None) == 1
    assert splits["split"].eq("test").equals(splits["fold"].eq(-1))
    assert set(splits["fold"]) - {-1} == set(range(num_folds))
    assert splits["split"].eq("test").any() == (holdout_share > 0)
    patient = lesions.set_index("image_id")["patient_id"]
    assert (splits["patient_id"] == splits["image_id"].map(patient)).all()


@given(seed=st.integers(0, 1000))
def test_partitions_cover_the_folds_and_none_trains_on_the_hold_out_or_its_own_test_patients(random_lesions, seed):
    splits = split_patients(random_lesions(20, 3, seed), FeatureParams(seed=seed, num_folds=3, holdout_share=0.2))
    assert partition_names(splits) == ["fold_0", "fold_1", "fold_2", HOLDOUT]
    tested = np.zeros(len(splits), dtype=int)
    for name in partition_names(splits):
        training, test = partition(splits, name)
        assert not (training & test).any()
        assert not splits.loc[training, "split"].eq("test").any()
        assert not set(splits.loc[training, "patient_id"]) & set(splits.loc[test, "patient_id"])
        tested += test
    assert (tested == 1).all()


def test_the_same_seed_gives_the_same_split_whatever_ran_before(random_lesions):
    lesions = random_lesions(30, 4, 1)
    first = split_patients(lesions, FeatureParams(seed=7))
    np.random.rand(5)  # noqa: NPY002
    pd.testing.assert_frame_equal(first, split_patients(lesions, FeatureParams(seed=7)))
    assert not first["fold"].equals(split_patients(lesions, FeatureParams(seed=8))["fold"])


def test_without_a_hold_out_there_is_no_hold_out_partition(random_lesions):
    splits = split_patients(random_lesions(12, 2, 0), FeatureParams(num_folds=3))
    assert partition_names(splits) == ["fold_0", "fold_1", "fold_2"]
    assert splits["split"].eq("train").all()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.6, 0.75])
def test_the_hold_out_takes_about_the_share_of_patients_that_was_asked_for(make_lesions, share):
    lesions = make_lesions([f"p{row}" for row in range(200)])
    splits = split_patients(lesions, FeatureParams(holdout_share=share))
    assert splits["split"].eq("test").mean() == pytest.approx(share, abs=0.02)


def test_folds_keep_about_the_same_share_of_each_diagnosis(make_lesions):
    rng = np.random.default_rng(0)
    patients = [f"p{patient}" for patient in range(200) for _ in range(3)]
    diagnosis = rng.choice(["nevus", "melanoma"], len(patients), p=[0.8, 0.2])
    splits = split_patients(make_lesions(patients, diagnosis=list(diagnosis)), FeatureParams(num_folds=5))
    share = pd.Series(diagnosis == "melanoma").groupby(splits["fold"]).mean()
    assert share.to_numpy() == pytest.approx((diagnosis == "melanoma").mean(), abs=0.03)
    assert splits["fold"].value_counts().between(100, 140).all()


@pytest.mark.parametrize("diagnosis", ["nevus", None])
def test_a_cohort_of_one_class_or_without_labels_still_splits(make_lesions, diagnosis):
    lesions = make_lesions([f"p{row // 2}" for row in range(20)], diagnosis=[diagnosis] * 20)
    assert set(split_patients(lesions, FeatureParams())["fold"]) == set(range(5))


def test_a_class_with_fewer_patients_than_folds_still_splits(make_lesions):
    lesions = make_lesions([f"p{row}" for row in range(10)], diagnosis=["rare"] + ["nevus"] * 9)
    assert set(split_patients(lesions, FeatureParams())["fold"]) == set(range(5))


def test_a_cohort_of_rare_classes_alone_still_splits(make_lesions):
    lesions = make_lesions([f"p{row}" for row in range(6)], diagnosis=[f"class {row // 2}" for row in range(6)])
    assert set(split_patients(lesions, FeatureParams())["fold"]) == set(range(5))


def test_fewer_patients_than_folds_is_a_clear_error(make_lesions):
    with pytest.raises(ValueError, match=r"3 patients can't fill 5 folds\. Set features\.num_folds lower"):
        split_patients(make_lesions(["a", "b", "c", "c", "c", "c"]), FeatureParams())


def test_without_folds_the_holdout_alone_is_tested(make_lesions, tmp_path):
    lesions = make_lesions([f"p{row // 2}" for row in range(40)])
    splits = split_patients(lesions, FeatureParams(num_folds=0, holdout_share=0.25))
    assert partition_names(splits) == ["holdout"]
    training, tested = partition(splits, "holdout")
    assert (training.sum(), tested.sum()) == (30, 10)
    splits.to_csv(tmp_path / "splits.csv", index=False)  # as a run publishes them
    read = split_patients(lesions, FeatureParams(num_folds=0, split_file=tmp_path / "splits.csv"))
    pd.testing.assert_frame_equal(read, splits)


@pytest.mark.parametrize("num_folds", [0, 1])
def test_neither_folds_nor_a_holdout_is_refused(make_lesions, num_folds):
    with pytest.raises(ValueError, match=r"tests the hold-out alone, and there is none|one fold has no others"):
        split_patients(make_lesions(["a", "b", "c", "d"]), FeatureParams(num_folds=num_folds))


def write_split(folder, **columns):
    path = folder / "official.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("id_column", ["image_id", "isic_id", "image"])
def test_an_official_split_is_kept_and_its_validation_part_counts_as_training(make_lesions, tmp_path, id_column):
    lesions = make_lesions(["a", "b", "c", "d", "d"])
    ids = lesions["image_id"].tolist()
    path = write_split(tmp_path, **{id_column: ids, "split": ["train", "Val", " TRAIN ", "test", "test"]})
    splits = split_patients(lesions, FeatureParams(num_folds=2, split_file=path))
    assert splits.set_index("image_id")["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert splits["fold"].tolist()[3:] == [-1, -1]
    assert set(splits["fold"][:3]) == {0, 1}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image_id": ["i0000", "i0001", "i0002"], "split": ["train", "test", "train"]}, "patient a stands in both"),
        ({"image_id": ["i0000", "i0001", "i0002"], "split": ["train", "train", "dev"]}, "unknown split 'dev'"),
        ({"image_id": ["i0000", "i0001"], "split": ["train", "train"]}, "1 of 3 images have no split, first: i0002"),
        ({"image_id": ["i0000", "i0001", "i0002"], "split": ["train", "train", None]}, "1 of 3 images have no split"),
        ({"image_id": ["i0000"], "fold": [1]}, "needs the columns image_id and split, has image_id, fold"),
        ({"name": ["i0000"], "split": ["train"]}, "needs the columns image_id and split"),
        (
            {"image_id": ["i0000", "i0001", "i0002", "i0002"], "split": ["train", "train", "train", "test"]},
            "image i0002 stands in several splits",
        ),
    ],
)
def test_an_official_split_that_breaks_is_refused_with_its_path_and_reason(make_lesions, tmp_path, columns, message):
    path = write_split(tmp_path, **columns)
    with pytest.raises(ValueError, match=message) as caught:
        split_patients(make_lesions(["a", "a", "b"]), FeatureParams(num_folds=2, split_file=path))
    assert "official.csv" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_an_official_split_is_read_in_any_encoding_and_with_any_separator(make_lesions, tmp_path, encoding, separator):
    ids = ["größe_1", "größe_2", "größe_3"]
    lesions = make_lesions(["a", "b", "c"], image_id=ids)
    path = tmp_path / "official.csv"
    table = pd.DataFrame({"image_id": ids, "split": ["train", "train", "test"]})
    table.to_csv(path, index=False, sep=separator, encoding=encoding)
    splits = split_patients(lesions, FeatureParams(num_folds=2, split_file=path))
    assert splits["split"].tolist() == ["train", "train", "test"]


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.zip", "parquet", "xlsx"])
def test_an_official_split_with_folds_is_read_in_any_form(make_lesions, tmp_path, suffix):
    path = tmp_path / f"official.{suffix}"
    table = pd.DataFrame({"image_id": [f"i{row:04d}" for row in range(5)], "split": ["train"] * 4 + ["test"]})
    table["fold"] = pd.Series([0, 1, 2, 2, None])  # floats: their text is 0.0
    write = {"parquet": table.to_parquet, "xlsx": table.to_excel}.get(suffix, table.to_csv)
    write(path, index=False)
    splits = split_patients(make_lesions(list("abcde")), FeatureParams(split_file=path))
    assert splits["fold"].tolist() == [0, 1, 2, 2, -1]


def test_image_ids_that_differ_by_blanks_around_them_match(make_lesions, tmp_path):
    lesions = make_lesions(["a", "b", "c"], image_id=["i0 ", "i1", " i2"])
    path = write_split(tmp_path, image_id=["i0", " i1 ", "i2 "], split=["train", "train ", "test"], fold=[0, 1, -1])
    splits = split_patients(lesions, FeatureParams(split_file=path)).set_index("image_id")
    assert splits["fold"].to_dict() == {"i0 ": 0, "i1": 1, " i2": -1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image_id,split\n", "official.csv has a header and no rows"),
        (b"", "official.csv is empty"),
        (b"image_id,split\ni0000,train\ni0001\n", "official.csv, line 3: 1 cells"),
        (b"<!doctype html><html>", "official.csv is a web page"),
    ],
)
def test_an_official_split_file_that_is_no_table_is_refused_by_name(make_lesions, tmp_path, content, message):
    (tmp_path / "official.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        split_patients(make_lesions(["a", "b"]), FeatureParams(split_file=tmp_path / "official.csv"))


def test_an_official_split_file_that_is_not_there_is_named(make_lesions, tmp_path):
    with pytest.raises(ValueError, match=r"no file .*absent\.csv"):
        split_patients(make_lesions(["a", "b"]), FeatureParams(split_file=tmp_path / "absent.csv"))


def test_a_patient_in_two_folds_is_refused():
    splits = pd.DataFrame({"patient_id": ["a", "a"], "split": ["train", "train"], "fold": [0, 1]})
    with pytest.raises(ValueError, match="1 patients stand in several splits or folds, first: a"):
        check_patient_disjoint(splits)


def test_rows_without_an_image_are_split_only_where_no_row_has_one(make_lesions):
    lesions = make_lesions(["a", "b", "c"], store_index=[0, None, 1])
    assert usable_rows(lesions)["patient_id"].tolist() == ["a", "c"]
    tables_alone = make_lesions(["a", "b"], store_index=[None, None])
    assert usable_rows(tables_alone)["patient_id"].tolist() == ["a", "b"]


@pytest.mark.parametrize("share", [0.001, 0.009])
def test_a_tiny_hold_out_is_the_smallest_part_and_not_half_the_cohort(share):
    lesions = pd.DataFrame({"image_id": [str(n) for n in range(400)], "patient_id": [f"p{n}" for n in range(400)]})
    splits = split_patients(lesions.assign(diagnosis="nevus"), FeatureParams(holdout_share=share))
    assert splits["split"].eq("test").sum() == 400 / 50


def test_published_splits_are_reused_with_their_folds(tmp_path):
    numbers = [f"{n:03d}" for n in range(60)]
    lesions = pd.DataFrame({"image_id": numbers, "patient_id": [f"p{int(n) // 2}" for n in numbers]})
    lesions["diagnosis"] = ["nevus", "melanoma", "nevus"] * 20
    first = split_patients(lesions, FeatureParams(holdout_share=0.2, seed=0))
    first.to_csv(tmp_path / "splits.csv", index=False)
    again = split_patients(lesions, FeatureParams(split_file=tmp_path / "splits.csv", seed=9))
    pd.testing.assert_frame_equal(again, first)


@pytest.mark.parametrize("level", ["lesion", "image"])
def test_a_split_that_leaks_keeps_its_own_groups_together_and_breaks_patients(make_lesions, level):
    lesions = make_lesions([f"p{row // 4}" for row in range(96)], lesion_id=[f"l{row // 2}" for row in range(96)])
    splits = split_patients(lesions, FeatureParams(split_level=level, num_folds=3))
    merged = splits.merge(lesions[["image_id", "lesion_id"]], on="image_id")
    assert merged.groupby(f"{level}_id")["fold"].nunique().max() == 1
    assert merged.groupby("patient_id")["fold"].nunique().max() > 1


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (["0", "1", ""], r"1 training images have no fold .* first: i2 with ''"),
        (["0", "1", "-1"], "i2 with '-1'"),
        (["0", "1", "b"], "i2 with 'b'"),
        (["0", "1", "0.5"], "i2 with '0.5'"),
        (["0", "0", "0"], "all training images are in one fold"),
    ],
)
def test_published_folds_that_leave_a_training_image_out_are_refused(folds, message, tmp_path):
    ids = ["i0", "i1", "i2", "i3"]
    lesions = pd.DataFrame({"image_id": ids, "patient_id": ["a", "b", "c", "d"], "diagnosis": "nevus"})
    table = lesions[["image_id"]].assign(split=["train"] * 3 + ["test"], fold=[*folds, ""])
    table.to_csv(tmp_path / "splits.csv", index=False)
    with pytest.raises(ValueError, match=message):
        split_patients(lesions, FeatureParams(split_file=tmp_path / "splits.csv"))


def test_a_published_split_is_read_back_though_ids_would_be_formulas(tmp_path, make_lesions):
    ids = ["=1", "-2", "+3", "@4", "'=5", "6"]
    lesions = make_lesions(list("abcdef"), image_id=ids)
    published = split_patients(lesions, FeatureParams(num_folds=2))
    (tmp_path / "splits.csv").write_text(csv_text(published, index=False), encoding="utf-8")
    again = split_patients(lesions, FeatureParams(split_file=tmp_path / "splits.csv"))
    pd.testing.assert_frame_equal(again, published)


@pytest.mark.parametrize("header", ["image_id,split,fold", "isic_id,split,Fold", "Image,Split,FOLD"])
def test_published_folds_are_taken_whatever_the_columns_spelling(tmp_path, make_lesions, header):
    lesions = make_lesions(list("abcd"))
    rows = [f"{name},train,{n % 2}" for n, name in enumerate(lesions["image_id"])]
    (tmp_path / "splits.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    splits = split_patients(lesions, FeatureParams(split_file=tmp_path / "splits.csv"))
    assert splits["fold"].tolist() == [0, 1, 0, 1]


def test_an_image_in_two_folds_is_refused(tmp_path, make_lesions):
    lesions = make_lesions(list("ab"))
    text = "image_id,split,fold\ni0000,train,0\ni0001,train,1\ni0000,train,1\n"
    (tmp_path / "splits.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="image i0000 stands in several splits or folds"):
        split_patients(lesions, FeatureParams(split_file=tmp_path / "splits.csv"))


@settings(max_examples=15)
@given(
    counts=st.lists(st.integers(1, 4), min_size=6, max_size=15),
    seed=st.integers(0, 99),
    holdout_share=st.sampled_from([0.0, 0.25]),
)
def test_a_cross_fitted_pre_training_never_sees_a_test_patient_of_its_partition(counts, seed, holdout_share):
    patient = [f"p{number}" for number, count in enumerate(counts) for _ in range(count)]
    lesions = pd.DataFrame({"image_id": [f"i{n}" for n in range(len(patient))], "patient_id": patient})
    lesions["diagnosis"] = np.random.default_rng(seed).choice(["nevus", "melanoma"], len(patient))
    splits = split_patients(lesions, FeatureParams(seed=seed, num_folds=2, holdout_share=holdout_share))
    partitions = training_partitions(splits, tested_N=np.ones(len(splits), dtype=bool))
    assert list(partitions) == ["fold_0", "fold_1"] + ["holdout"] * (holdout_share > 0)
    held_out = set(splits.loc[splits["split"] == "test", "patient_id"])
    for name, rows in partitions.items():
        tested = set(splits.loc[partition(splits, name)[1], "patient_id"]) | held_out
        assert not set(rows["patient_id"]) & tested
        assert set(rows["patient_id"]) | tested == set(patient)


def test_a_cohort_that_is_not_tested_on_trains_once_on_every_row():
    splits = pd.DataFrame(
        {"image_id": ["a", "b"], "patient_id": ["p", "q"], "split": ["train", "test"], "fold": [0, -1]}
    )
    partitions = training_partitions(splits, tested_N=None)
    assert list(partitions) == [ALL]
    assert partitions[ALL].to_dict("list") == {"image_id": ["a", "b"], "patient_id": ["p", "q"]}


def test_beside_a_cohort_that_is_tested_on_all_others_train_but_for_its_test_patients():
    """`b` is tested on; a person of one registry, r:1, is in both cohorts."""
    rows = [("a:1", "r:1", "train", 0), ("a:2", "a:2", "train", 1), ("a:3", "a:3", "test", -1),
            ("b:1", "r:1", "train", 0), ("b:2", "b:2", "train", 1)]  # fmt: skip
    splits = pd.DataFrame(rows, columns=["image_id", "patient_id", "split", "fold"])
    partitions = training_partitions(splits, tested_N=splits["image_id"].str.startswith("b:").to_numpy())
    assert {name: list(seen["image_id"]) for name, seen in partitions.items()} == {
        "fold_0": ["a:2", "a:3", "b:2"],  # a:1 is of the test patient
        "fold_1": ["a:1", "a:2", "a:3", "b:1"],
    }
