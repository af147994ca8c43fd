"""Which blocks a classifier sees."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.features.blocks import scale_blocks
from slimp_pipeline.evaluation.features.patient_context import patient_relative, ugly_duckling
from slimp_pipeline.evaluation.features.sets import FEATURE_SETS, Features
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import make_task, task_splits
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.encoding import CategoricalEncoding, Encoding, LevelEncoding, NumericEncoding, one_hot

AGE = NumericEncoding(mean=50, std=10, minimum=None, maximum=None)
SIZE = NumericEncoding(mean=4, std=2, minimum=None, maximum=None)


def encoding(regions=("arm", "face"), size=SIZE):
    lesion = LevelEncoding(fields={"region": CategoricalEncoding(categories=list(regions)), "size_mm": size})
    return Encoding(lesion=lesion, patient=LevelEncoding(fields={"age_years": AGE}), num_patients=2)


@pytest.fixture
def rows():
    """Four patients of three rows each; the last row of the first two has no label."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image_id": [f"i{row:02d}" for row in range(12)],
            "patient_id": np.repeat(["a", "b", "c", "d"], 3),
            "lesion_id": [f"l{row:02d}" for row in range(12)],
            "diagnosis": ["MEL", "NEV", None] * 2 + ["MEL", "NEV", "NEV"] * 2,
            "malignant": pd.array([None] * 12, dtype="boolean"),
            "age_years": np.repeat([30.0, 40.0, 60.0, 70.0], 3),
            "region": ["arm", "face", "arm"] * 3 + ["leg", "leg", "face"],
            "size_mm": rng.normal(4, 2, 12),
        }
    )


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(1)
    names = {"slimp.all.image": 4, "slimp.fold_1.image": 4, "slimp.all.lesion": 3, "plain.all.image": 4}
    return {name: rng.normal(size=(12, width)).astype(np.float32) for name, width in names.items()}


def prepared(rows, embeddings, encodings=None):
    """Features, and their splits: fold 0 tests rows 3 to 5 and 9 to 11, patients b and d."""
    fold = 1 - np.arange(12) // 3 % 2
    splits = rows[["image_id", "patient_id"]].assign(split="train", fold=fold)
    task = make_task(rows, splits, EvaluationParams())
    encodings = encodings or dict.fromkeys(["fold_0", "fold_1"], encoding())
    features = Features(TargetCohort("", rows, splits, embeddings, encodings), task)
    return features, {split.name: split for split in task_splits(task, "")}


def alone(rows, patient, values, describe):
    """What a patient's rows are described as where there is no other patient; labelled rows."""
    own_N = (rows["patient_id"] == patient).to_numpy()
    labelled_N = rows.loc[own_N, "diagnosis"].notna().to_numpy()
    return describe(values[own_N], np.zeros(own_N.sum()))[labelled_N]


def test_an_ugly_duckling_is_seen_among_all_rows_of_its_patient_unlabelled_ones_too(rows, embeddings):
    features, splits = prepared(rows, embeddings)
    block_ND = features.block("slimp", "ugly_duckling", splits["fold_0"])
    assert block_ND.shape == (10, 6)
    image_ND = embeddings["slimp.all.image"]
    expected = [alone(rows, patient, image_ND, ugly_duckling) for patient in "abcd"]
    np.testing.assert_allclose(block_ND, np.concatenate(expected), rtol=1e-6)
    labelled = rows["diagnosis"].notna().to_numpy()
    without = ugly_duckling(image_ND[labelled], rows.loc[labelled, "patient_id"].to_numpy())
    differs = np.abs(block_ND - without).max(axis=1) > 1e-3
    assert differs.tolist() == [True] * 4 + [False] * 6  # rows of a and b, which have an unlabelled row


def test_numbers_are_relative_to_all_rows_of_the_patient_and_to_no_others(rows, embeddings):
    rows.loc[7, "size_mm"] = np.nan
    features, splits = prepared(rows, embeddings)
    relative_NF = features.patient_relative(splits["fold_0"])
    value_NF = ((rows[["size_mm"]] - SIZE.mean) / SIZE.std).to_numpy()
    expected = np.concatenate([alone(rows, patient, value_NF, patient_relative) for patient in "abcd"])
    assert relative_NF.shape == (10, 4)
    np.testing.assert_allclose(relative_NF, expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(relative_NF[5]).tolist() == [True, True, True, False]


@pytest.mark.parametrize("changed", [2, 5, 11])
def test_a_row_changes_the_context_of_its_own_patient_alone(rows, embeddings, changed):
    before, splits = prepared(rows, embeddings)
    spoilt = {name: values.copy() for name, values in embeddings.items()}
    spoilt["slimp.all.image"][changed] += 3
    other_rows = rows.copy()
    other_rows.loc[changed, "size_mm"] += 30
    after, _ = prepared(other_rows, spoilt)
    patient_N = rows.loc[rows["diagnosis"].notna(), "patient_id"].to_numpy()
    own = patient_N == rows.loc[changed, "patient_id"]
    described = [
        (features.block("slimp", "ugly_duckling", splits["fold_0"]), features.patient_relative(splits["fold_0"]))
        for features in (before, after)
    ]
    for one, other in zip(*described, strict=True):
        np.testing.assert_array_equal((one != other).any(axis=1), own)


def test_a_cohort_of_single_row_patients_has_no_patient_context(rows, embeddings):
    rows["patient_id"] = [f"p{row}" for row in range(12)]
    features, splits = prepared(rows, embeddings)
    split = splits["fold_0"]
    assert features.block("slimp", "ugly_duckling", split) is None
    assert features.of("slimp", "image+ugly_duckling", split) is None
    assert features.patient_relative(split) is None
    assert features.of("slimp", "image+metadata", split) is not None


def test_photographs_of_one_lesion_are_no_patient_context(rows, embeddings):
    rows["lesion_id"] = rows["patient_id"]
    features, splits = prepared(rows, embeddings)
    assert features.of("slimp", "image+ugly_duckling", splits["fold_0"]) is None
    assert features.patient_relative(splits["fold_0"]) is None


def test_an_unlabelled_second_row_is_context_enough(rows, embeddings):
    rows["patient_id"] = [f"p{row}" for row in range(12)]
    rows.loc[5, "patient_id"] = "p3"  # i05 has no label
    features, splits = prepared(rows, embeddings)
    block_ND = features.block("slimp", "ugly_duckling", splits["fold_0"])
    assert block_ND.any(axis=1).sum() == 1
    assert features.patient_relative(splits["fold_0"]) is not None


def test_without_a_number_of_the_lesion_level_nothing_is_relative_to_the_patient(rows, embeddings):
    level = LevelEncoding(fields={"region": CategoricalEncoding(categories=["arm"])})
    no_number = encoding().model_copy(update={"lesion": level})
    features, splits = prepared(rows, embeddings, dict.fromkeys(["fold_0", "fold_1"], no_number))
    assert features.patient_relative(splits["fold_0"]) is None


def test_metadata_are_encoded_as_fitted_for_the_partition_and_scaled_by_its_training_rows(rows, embeddings):
    encodings = {"fold_0": encoding(["arm", "face"]), "fold_1": encoding(["face", "leg"])}
    features, splits = prepared(rows, embeddings, encodings)
    labelled = rows[rows["diagnosis"].notna()]
    for name, split in splits.items():
        levels = [one_hot(level, labelled) for level in (encodings[name].lesion, encodings[name].patient)]
        found = features.metadata(split)
        np.testing.assert_array_equal(found, scale_blocks(levels, split.train_N))
        squared_N = (found[split.train_N] ** 2).sum(axis=1)
        assert squared_N.mean() == pytest.approx(2)  # 1 for each level
        np.testing.assert_array_equal(features.block("slimp", "metadata", split), found)
    # In fold 0 a leg is unseen, and so is any other place; in fold 1 it is a category of its own.
    legs = rows.replace({"region": {"leg": "foot"}})
    other, _ = prepared(legs, embeddings, encodings)
    np.testing.assert_array_equal(other.metadata(splits["fold_0"]), features.metadata(splits["fold_0"]))
    assert not np.array_equal(other.metadata(splits["fold_1"]), features.metadata(splits["fold_1"]))


@pytest.mark.parametrize("level", ["lesion", "patient"])
def test_metadata_of_one_level_stand_alone_and_without_any_there_are_none(rows, embeddings, level):
    empty = LevelEncoding(fields={})
    one_level = encoding().model_copy(update={"lesion" if level == "patient" else "patient": empty})
    features, splits = prepared(rows, embeddings, dict.fromkeys(["fold_0", "fold_1"], one_level))
    split, labelled = splits["fold_0"], rows[rows["diagnosis"].notna()]
    expected = scale_blocks([one_hot(getattr(one_level, level), labelled)], split.train_N)
    np.testing.assert_array_equal(features.metadata(split), expected)
    none = Encoding(lesion=empty, patient=empty, num_patients=2)
    features, _ = prepared(rows, embeddings, dict.fromkeys(["fold_0", "fold_1"], none))
    assert features.metadata(split) is None and features.of("slimp", "image+metadata", split) is None


def test_embeddings_are_those_of_the_partition_where_it_has_its_own(rows, embeddings):
    features, splits = prepared(rows, embeddings)
    labelled = rows["diagnosis"].notna().to_numpy()
    for name, key in (("fold_0", "slimp.all.image"), ("fold_1", "slimp.fold_1.image")):
        np.testing.assert_array_equal(features.block("slimp", "image", splits[name]), embeddings[key][labelled])
        context = features.block("slimp", "ugly_duckling", splits[name])
        np.testing.assert_array_equal(context, ugly_duckling(embeddings[key], rows["patient_id"].to_numpy())[labelled])
    assert features.methods == ["slimp", "plain"]


def test_a_feature_set_is_its_blocks_at_equal_weight_and_none_where_one_is_lacking(rows, embeddings):
    features, splits = prepared(rows, embeddings)
    split = splits["fold_0"]
    for name, blocks in FEATURE_SETS.items():
        for method in ("slimp", "plain"):
            found = features.of(method, name, split)
            parts = [features.block(method, block, split) for block in blocks]
            if any(part is None for part in parts):
                assert found is None
            else:
                if name == "image+ugly_duckling":  # its two distances are a block of their own
                    parts[1:] = [parts[1][:, :-2], parts[1][:, -2:]]
                expected = scale_blocks(parts, split.train_N)
                np.testing.assert_array_equal(found.train_ND, expected[split.train_N])
                np.testing.assert_array_equal(found.test_ND, expected[split.test_N])
                assert [part.shape for part in found.train_blocks()] == [(5, width) for width in found.widths]
                assert (found.train_ND**2).sum(axis=1).mean() == pytest.approx(len(parts))
    known = {(m, name) for m in features.methods for name in FEATURE_SETS if features.of(m, name, split) is not None}
    both = {("slimp", name) for name in ("image", "image+lesion", "image+metadata", "image+ugly_duckling")}
    assert known == both | {("plain", name) for name in ("image", "image+metadata", "image+ugly_duckling")}
