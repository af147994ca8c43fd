"""The guard against leaks."""

from types import SimpleNamespace

import pandas as pd
import pytest

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.audits.leaks import check_encoders, check_no_leak, check_pretraining
from slimp_pipeline.parameters import FeatureParams, ImageEncoderParams, ModelParams, TrainingParams
from slimp_pipeline.pipelines.pretrain.nodes import select_training_rows
from slimp_pipeline.tables.splits import rows_digest


@pytest.fixture
def splits():
    numbers = range(6)
    return pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in numbers],
            "patient_id": [f"p{n}" for n in numbers],
            "split": ["train"] * 4 + ["test"] * 2,
            "fold": [0, 0, 1, 1, -1, -1],
        }
    )


def trained(**partitions):
    rows = [(name, f"i{n}", f"p{n}") for name, numbers in partitions.items() for n in numbers]
    return pd.DataFrame(rows, columns=["partition", "image_id", "patient_id"])


MODEL, TRAINING = ModelParams(), TrainingParams()


def encoder(rows, model=MODEL, training=TRAINING):
    facts = {"training_rows": rows_digest(rows["image_id"]), "training": training.model_dump(mode="json")}
    levels = {"lesion": SimpleNamespace(fields=["itch"]), "patient": SimpleNamespace(fields=["age_years"])}
    encoding = SimpleNamespace(levels=levels, swapped_levels=False)
    return SimpleNamespace(model=model, facts=facts, encoding=encoding)


CLEAN = {"fold_0": [2, 3], "fold_1": [0, 1], "holdout": [0, 1, 2, 3]}


def test_cross_fitted_encoders_of_these_splits_pass(splits):
    check_no_leak(trained(**CLEAN), splits, same_cohort=True)


def test_one_encoder_of_another_cohort_passes_though_its_patient_ids_recur(splits):
    other = trained(all=range(6)).assign(image_id=[f"other{n}" for n in range(6)])
    check_no_leak(other, splits, same_cohort=False)


@pytest.mark.parametrize("name", list(CLEAN))
def test_a_test_patient_in_any_partitions_training_is_refused(splits, name):
    leaking = {**CLEAN, name: [*CLEAN[name], {"fold_0": 0, "fold_1": 2, "holdout": 5}[name]]}
    with pytest.raises(ValueError, match=f"{name}: 1 test patients"):
        check_no_leak(trained(**leaking), splits, same_cohort=True)


def test_another_image_of_a_test_patient_is_refused_too(splits):
    rows = trained(**CLEAN)
    rows.loc[len(rows)] = ["fold_0", "another image", "p1"]
    with pytest.raises(ValueError, match="test patients"):
        check_no_leak(rows, splits, same_cohort=True)


def test_an_image_of_the_target_in_another_cohort_is_refused(splits):
    with pytest.raises(ValueError, match="1 images of the target"):
        check_no_leak(trained(all=[5]), splits, same_cohort=False)


@pytest.mark.parametrize("partitions", [{"all": [0]}, {"fold_0": [2, 3], "fold_1": [0, 1]}])
def test_encoders_of_other_splits_are_refused(splits, partitions):
    with pytest.raises(ValueError, match="no pre-training for"):
        check_no_leak(trained(**partitions), splits, same_cohort=True)


def test_encoders_cross_fitted_on_the_source_are_refused_for_another_target(splits):
    rows = trained(**CLEAN).assign(image_id=lambda frame: "other" + frame["image_id"])
    with pytest.raises(ValueError, match="fold by fold"):
        check_no_leak(rows, splits, same_cohort=False)


def test_a_test_image_that_another_source_cohort_holds_is_refused(splits):
    rows = pd.concat([trained(**CLEAN), pd.DataFrame([["fold_0", "i1", "of another cohort"]], columns=list(trained()))])
    with pytest.raises(ValueError, match=r"fold_0: 1 test images were in its pre.*first: i1.*Another source"):
        check_no_leak(rows, splits, same_cohort=True)


def test_splits_that_break_a_patient_apart_are_refused(splits):
    splits.loc[0, "patient_id"] = "p2"
    with pytest.raises(ValueError, match="patient-disjoint"):
        check_no_leak(trained(**CLEAN), splits, same_cohort=True)


def test_encoders_left_by_an_earlier_pretraining_are_refused():
    rows = trained(fold_0=[2, 3], fold_1=[0, 1])
    whole = {name: encoder(group) for name, group in rows.groupby("partition")}
    check_encoders(rows, whole, MODEL, TRAINING)
    with pytest.raises(ValueError, match=r"partition fold_1.*didn't finish"):
        check_encoders(trained(fold_0=[2, 3], fold_1=[0, 2]), whole, MODEL, TRAINING)
    with pytest.raises(ValueError, match="fold_1"):
        check_encoders(rows, {"fold_0": whole["fold_0"]}, MODEL, TRAINING)


def test_encoders_trained_with_other_settings_are_refused_and_the_settings_named():
    rows = trained(all=[0, 1])
    here = {"all": encoder(rows, training=TrainingParams(device="cpu", num_workers=4, num_epochs=5))}
    check_encoders(rows, here, MODEL, TrainingParams(device="auto", num_epochs=5))  # where it ran is no matter
    with pytest.raises(ValueError, match=r"training\.num_epochs 5, now 6"):
        check_encoders(rows, here, MODEL, TrainingParams(num_epochs=6))
    moved = {"all": encoder(rows, ModelParams(image_encoder=ImageEncoderParams(weights="/a/w.safetensors")))}
    check_encoders(rows, moved, ModelParams(image_encoder=ImageEncoderParams(weights="b/w.safetensors")), TRAINING)
    with pytest.raises(ValueError, match=r"model\.image_encoder\.weights w\.safetensors, now v\.safetensors"):
        check_encoders(rows, moved, ModelParams(image_encoder=ImageEncoderParams(weights="b/v.safetensors")), TRAINING)


def test_patients_that_two_cohorts_share_are_refused_where_their_ids_mean_the_same_people(splits):
    other = trained(all=range(6)).assign(image_id=[f"other{n}" for n in range(6)])
    with pytest.raises(ValueError, match=r"6 patients of the target were in the pre-training, first: p0"):
        check_no_leak(other, splits, same_cohort=False, same_registry=True)


def cohort(name):
    return SimpleNamespace(
        name=name, members={}, holds=lambda other: other.name == name, shares_registry=lambda other: False
    )


def check(source, target, rows, splits, chosen=("itch", "age_years"), features=None):
    encoders = {name: encoder(own) for name, own in rows.groupby("partition")}
    check_pretraining(
        cohort(source), cohort(target), rows, splits, encoders, MODEL, TRAINING, features or FeatureParams(), chosen
    )


def test_encoders_that_know_fields_left_out_now_are_refused_on_their_own_cohort_alone(splits):
    check("one", "one", trained(**CLEAN), splits)
    with pytest.raises(ValueError, match=r"features.fields leaves out \(itch\)"):
        check("one", "one", trained(**CLEAN), splits, chosen=["age_years"])
    other = trained(all=range(6)).assign(image_id=[f"other{n}" for n in range(6)])
    check("other", "one", other, splits, chosen=["age_years"])


@pytest.mark.parametrize("swapped_there", [True, False])
def test_encoders_of_swapped_levels_stand_for_no_others_and_no_others_for_them(splits, swapped_there):
    rows = trained(**CLEAN)
    encoders = {str(name): encoder(own) for name, own in rows.groupby("partition")}
    for one in encoders.values():
        one.encoding.swapped_levels = swapped_there
    settings = MODEL, TRAINING, FeatureParams(swapped_levels=not swapped_there), ("itch", "age_years")
    with pytest.raises(ValueError, match=rf"trained with features.swapped_levels={str(swapped_there).lower()}"):
        check_pretraining(cohort("one"), cohort("one"), rows, splits, encoders, *settings)
    settings = MODEL, TRAINING, FeatureParams(swapped_levels=swapped_there), ("itch", "age_years")
    check_pretraining(cohort("one"), cohort("one"), rows, splits, encoders, *settings)


def test_equal_image_ids_in_several_cohorts_are_refused_before_anything_is_trained():
    member = {
        "licence": "l", "source": "s", "folder": "f", "title": "t", "tables": [{"file": "t.csv"}], "image_id": "id",
        "patient_id": ["p"], "fields": {},
    }  # fmt: skip
    members = {name: {**member, "name": name} for name in ("one", "two")}
    source = CohortSpec.model_validate({"name": "one+two", "members": members})
    rows = [(f"{name}:{n}", f"{name}:p{n}", "train", n % 2) for name in members for n in range(6)]
    splits = pd.DataFrame(rows, columns=["image_id", "patient_id", "split", "fold"])
    with pytest.raises(ValueError, match=r"fold_0: 3 test images .* by their ids; .* rename them"):
        select_training_rows(source, source.members["two"], splits, FeatureParams())
    splits["image_id"] += splits["image_id"].str.partition(":")[0]
    assert len(select_training_rows(source, source.members["two"], splits, FeatureParams())) == 2 * (6 + 3)


def test_encoders_of_all_rows_are_refused_on_their_own_cohort_unless_the_split_leaks_on_purpose(splits, caplog):
    with pytest.raises(ValueError, match="no pre-training for"):
        check("one", "one", trained(all=range(6)), splits)
    check("one", "one", trained(all=range(6)), splits, features=FeatureParams(split_level="image"))
    assert "its figures are no results" in caplog.text
