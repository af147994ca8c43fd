"""Batches of several cohorts."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.parameters import SamplerParams
from slimp_pipeline.training.cohort_batches import CohortBatches, batches_of
from slimp_pipeline.training.sampler import PatientBatches


def lesions(pictures=1, **patients_of):
    """Two pictures of each patient, of a lesion each or of one; cohorts in turn."""
    names = [name for name, count in patients_of.items() for _ in range(2 * count)]
    patient = np.arange(len(names)) // 2
    return SimpleNamespace(
        patient_N=patient,
        lesion_N=np.arange(len(names)) // pictures,
        malignant_N=np.zeros(len(names), dtype=bool),
        cohort_N=np.array(names, dtype=object),
    )


def sampler(**settings):
    return SamplerParams(patients_per_batch=4, lesions_per_patient=2, **settings)


@given(one=st.integers(2, 30), two=st.integers(2, 30), seed=st.integers(0, 20), epoch=st.integers(0, 3))
def test_a_batch_is_of_one_cohort_and_an_epoch_draws_every_lesion_once(one, two, seed, epoch):
    data = lesions(one=one, two=two)
    batches = batches_of(data, sampler(), seed)
    drawn = list(batches.epoch(epoch))
    assert len(drawn) == batches.num_batches
    assert all(len(set(data.cohort_N[rows])) == 1 for rows in drawn)
    assert sorted(np.concatenate(drawn)) == list(range(2 * (one + two)))
    assert batches.lesions_per_epoch == batches.num_lesions == 2 * (one + two)
    assert batches.fewest_patients == min(len(set(data.patient_N[rows])) for rows in drawn)


def test_steps_go_on_where_they_stopped():
    batches = batches_of(lesions(one=9, two=20), sampler(cohort_weights={"one": 1.5}), 3)
    whole = [rows.tolist() for rows in batches.steps(0, 23)]
    for start in (1, 7, 8, 15):
        assert [rows.tolist() for rows in batches.steps(start, 23)] == whole[start:]


@pytest.mark.parametrize(("weight", "times"), [(2.0, [2, 2]), (0.5, [0.5, 0.5]), (1.0, [1, 1])])
def test_a_weight_says_how_often_an_epoch_draws_a_cohort(weight, times):
    data = lesions(one=16, two=8)  # four batches and two
    batches = batches_of(data, sampler(cohort_weights={"one": weight}), 0)
    assert batches.num_batches == 4 * weight + 2
    seen = [np.concatenate(list(batches.epoch(epoch))) for epoch in range(2)]
    for rows, factor in zip(seen, times, strict=True):
        assert (data.cohort_N[rows] == "one").sum() == 32 * factor
        assert (data.cohort_N[rows] == "two").sum() == 16
    if weight == 0.5:  # the second epoch draws the other half
        assert len(set(np.concatenate(seen)[data.cohort_N[np.concatenate(seen)] == "one"])) == 32


def test_the_cohorts_are_mixed_over_an_epoch_in_another_order_each_time():
    data = lesions(one=40, two=40)
    order = [[data.cohort_N[rows[0]] for rows in batches_of(data, sampler(), 1).epoch(epoch)] for epoch in range(2)]
    assert order[0] != order[1] and order[0] != sorted(order[0])


def test_one_cohort_and_mixed_cohorts_are_drawn_as_patients_are():
    alone, several = lesions(one=9), lesions(one=9, two=9)
    assert isinstance(batches_of(alone, sampler(), 0), PatientBatches)
    mixed = batches_of(several, sampler(mixed_cohorts=True), 0)
    assert isinstance(mixed, PatientBatches)
    assert any(len(set(several.cohort_N[rows])) == 2 for rows in mixed.epoch(0))
    assert isinstance(batches_of(several, sampler(), 0), CohortBatches)


def test_a_lesions_pictures_stand_together_whichever_cohort_is_drawn():
    data = lesions(pictures=2, one=9, two=8)
    batches = batches_of(data, sampler(), 0)
    drawn = list(batches.epoch(0))
    for rows in drawn:
        assert (data.lesion_N[rows[::2]] == data.lesion_N[rows[1::2]]).all()
        assert len(set(data.cohort_N[rows])) == 1
    assert sorted(np.concatenate(drawn)) == list(range(34))
    assert (batches.num_lesions, batches.lesions_per_epoch, batches.images_per_epoch) == (17, 17, 34)
    one_each = batches_of(data, sampler(images_per_lesion=1), 0)
    assert one_each.images_per_epoch == sum(map(len, one_each.epoch(0))) == 17


def test_weights_of_cohorts_that_are_mixed_are_refused():
    with pytest.raises(
        ValueError, match="`cohort_weights` weighs batches of one cohort each, `mixed_cohorts` has none"
    ):
        sampler(cohort_weights={"one": 2.0}, mixed_cohorts=True)


def test_a_weight_of_no_cohort_is_refused():
    with pytest.raises(ValueError, match="cohort_weights names tow; the cohorts that are trained on are one, two"):
        batches_of(lesions(one=4, two=4), sampler(cohort_weights={"tow": 2}), 0)
    with pytest.raises(ValueError, match="but one, which needs no weight"):
        batches_of(lesions(**{"": 4}), sampler(cohort_weights={"one": 2}), 0)


def test_a_cohort_of_one_patient_is_refused_in_training_and_left_out_of_validation():
    data = lesions(one=4, two=1)
    with pytest.raises(ValueError, match="cohort two has 1 patient with images: leave it out of source_cohort"):
        batches_of(data, sampler(), 0)
    drawn = np.concatenate(list(batches_of(data, sampler(), 0, skip_lone=True).epoch(0)))
    assert set(data.cohort_N[drawn]) == {"one"}


def test_held_out_patients_who_are_each_alone_in_their_cohort_are_mixed():
    data = lesions(one=1, two=1)
    drawn = list(batches_of(data, sampler(), 0, skip_lone=True).epoch(0))
    assert len(drawn) == 1 and set(data.cohort_N[drawn[0]]) == {"one", "two"}
