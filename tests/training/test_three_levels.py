"""Training where pictures have fields of their own."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import LossParams, SamplerParams
from slimp_pipeline.tables.encoding import encode
from slimp_pipeline.training.data import patient_lesions
from slimp_pipeline.training.pretrain import Cohort, check_contrast, pretrain_partition


@pytest.fixture
def cohort(tiny_of_three) -> Cohort:
    return Cohort("pictures", "f", tiny_of_three.lesions, tiny_of_three.patients, {"all": tiny_of_three.encoding})


@pytest.fixture
def train(cohort, tiny_of_three, model_settings, make_settings):
    def trained(folder=None, report=lambda *_: None, lesions=None, **changes):
        own = cohort if lesions is None else dataclasses.replace(cohort, lesions=lesions)
        rows = own.lesions[["image_id", "patient_id"]]
        settings = make_settings(validation_share=0.25, **changes)
        return pretrain_partition(own, tiny_of_three.store, "all", rows, model_settings, settings, folder, report)

    return trained


def losses(history: pd.DataFrame) -> pd.Series:
    return history.loc[history["name"] == "loss", "value"].reset_index(drop=True)


def test_a_row_of_each_table_is_a_picture_a_lesion_and_a_patient(tiny_of_three):
    data, lesions = tiny_of_three.data(), tiny_of_three.lesions
    num_lesions = lesions["lesion_id"].nunique()
    assert len(data.lesion_N) == len(lesions) > num_lesions == data.lesion_N.max() + 1 == len(data.lesion_group_K)
    assert len(data.image["numeric"]) == len(lesions) and len(data.lesion["numeric"]) == num_lesions
    expected = torch.from_numpy(encode(tiny_of_three.encoding.lesion, lesions)["numeric"])
    torch.testing.assert_close(data.lesion["numeric"][data.lesion_N], expected)
    ids = lesions["lesion_id"].to_numpy()
    assert ((ids[:, None] == ids) == (data.lesion_N[:, None] == data.lesion_N)).all()


def test_every_level_is_learnt_and_measured(train, cohort):
    checkpoint, history = train(loss=LossParams(reconstruction_weight=0.0))
    names = set(history["name"])
    for level in ("image", "lesion", "patient"):
        assert {f"loss_{level}", f"validation_loss_{level}", f"validation_{level}_accuracy"} <= names
        assert {f"{level}_effective_rank", f"{level}_uniformity", f"{level}_alignment"} <= names
    assert losses(history).iloc[-1] < losses(history).iloc[0]
    assert PretrainedSLIMP(checkpoint).encode_metadata(cohort.lesions).shape == (len(cohort.lesions), 32)


def test_a_stopped_training_goes_on_bit_by_bit(train, tmp_path):
    sampler = SamplerParams(patients_per_batch=4, lesions_per_patient=2, images_per_lesion=1)

    def stop(step, _):
        if step == 4:
            raise KeyboardInterrupt

    whole, expected = train(sampler=sampler)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop, sampler=sampler)
    resumed, history = train(tmp_path, sampler=sampler)
    assert all(torch.equal(value, resumed.state[name]) for name, value in whole.state.items())
    assert losses(history).tolist() == losses(expected).tolist()


def test_fields_of_a_lesion_that_differ_between_its_pictures_are_settled_before_they_are_learnt(train, cohort):
    several = cohort.lesions["lesion_id"].map(cohort.lesions["lesion_id"].value_counts()) == 3
    odd = several & ~cohort.lesions["lesion_id"].duplicated()  # one of three pictures says otherwise, one nothing
    silent = (
        several & ~odd & ~cohort.lesions.loc[~odd, "lesion_id"].duplicated().reindex(several.index, fill_value=True)
    )
    differing = cohort.lesions.assign(
        site=cohort.lesions["site"].mask(odd, "zoo"), diameter_mm=cohort.lesions["diameter_mm"].mask(silent)
    )
    assert odd.any() and silent.any()
    one, _ = train()
    other, _ = train(lesions=differing.assign(site=differing["site"]))
    assert all(torch.equal(value, other.state[name]) for name, value in one.state.items())


def test_strangers_lend_lesions_with_their_pictures(train):
    checkpoint, history = train(shuffled_metadata=True)
    assert checkpoint.facts["shuffled_metadata"] and np.isfinite(losses(history)).all()


def test_levels_without_fields_are_said_and_one_of_pictures_is_enough(tiny_of_three, caplog):
    nothing = tiny_of_three.encoding.nuisance
    encoding = tiny_of_three.encoding.model_copy(update={"lesion": nothing, "patient": nothing})
    with caplog.at_level("INFO", logger="slimp_pipeline"):
        check_contrast("pictures", encoding, "slimp")
        check_contrast("pictures", encoding, "inner_only")
    assert [message for message in caplog.messages if "adds nothing to 'slimp'" in message] == caplog.messages
    assert len(caplog.messages) == 2
    with pytest.raises(ValueError, match="no metadata fields of the level patient, and the objective 'outer_only'"):
        check_contrast("pictures", encoding, "outer_only")


def test_rows_without_lesions_are_refused_in_words(tiny_of_three):
    with pytest.raises(ValueError, match="lesion_id must be there"):
        patient_lesions(tiny_of_three.lesions.drop(columns="lesion_id"), tiny_of_three.patients, tiny_of_three.encoding)
