"""Batches of patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.parameters import SamplerParams
from slimp_pipeline.training.sampler import PatientBatches, own_part

cohorts = st.builds(
    lambda counts, seed: np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)),
    st.lists(st.integers(1, 7), min_size=2, max_size=14),
    st.integers(0, 1000),
)


def batches_of(
    patient, malignant=None, *, patients=4, lesions=3, share=0.0, seed=0, epoch="patients"
) -> PatientBatches:
    settings = SamplerParams(
        patients_per_batch=patients, lesions_per_patient=lesions, malignant_first_share=share, epoch=epoch
    )
    return PatientBatches(
        patient, np.zeros(len(patient), dtype=bool) if malignant is None else malignant, settings, seed
    )


@given(patient=cohorts, patients=st.integers(2, 6), lesions=st.integers(1, 5), epoch=st.integers(0, 3))
def test_every_patient_is_drawn_once_an_epoch_with_no_lesion_twice(patient, patients, lesions, epoch):
    batches = batches_of(patient, patients=patients, lesions=lesions)
    drawn = list(batches.epoch(epoch))
    assert len(drawn) == batches.num_batches
    rows = np.concatenate(drawn)
    assert len(set(rows)) == len(rows) == batches.lesions_per_epoch
    runs = np.concatenate([patient[batch][np.r_[True, np.diff(patient[batch]) != 0]] for batch in drawn])
    assert sorted(runs) == sorted(set(patient))  # once each, its rows next to each other
    for number in set(patient):
        given_rows = set(rows[patient[rows] == number])
        own = set(np.flatnonzero(patient == number))
        assert given_rows <= own
        assert len(given_rows) == min(len(own), lesions)


@given(patient=cohorts, patients=st.integers(2, 6))
def test_batches_are_of_nearly_equal_size_and_none_is_a_single_patient(patient, patients):
    sizes = [len(set(patient[batch])) for batch in batches_of(patient, patients=patients).epoch(0)]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2
    assert max(sizes) <= max(3, 1.5 * patients)


@given(patient=cohorts, start=st.integers(0, 20), seed=st.integers(0, 5))
def test_steps_from_a_start_are_exactly_the_tail_of_all_steps(patient, start, seed):
    for unit in ("patients", "lesions"):
        batches = batches_of(patient, seed=seed, epoch=unit)
        every = [rows.tolist() for rows in batches.steps(0, 3 * batches.num_batches)]
        assert len(every) == 3 * batches.num_batches
        assert [rows.tolist() for rows in batches.steps(start, 3 * batches.num_batches)] == every[start:]
        amidst = len(every) // 2
        assert [rows.tolist() for rows in batches.steps(start, amidst)] == every[start:amidst]


@given(patient=cohorts, lesions=st.integers(1, 6), share=st.sampled_from([0.25, 0.5, 1.0]), data=st.data())
def test_malignant_lesions_come_first_up_to_the_share_and_never_above_what_chance_gives(patient, lesions, share, data):
    malignant = np.array(data.draw(st.lists(st.booleans(), min_size=len(patient), max_size=len(patient))))
    first, plain = (batches_of(patient, malignant, lesions=lesions, share=s).epoch(1) for s in (share, 0.0))
    for batch, plain_batch in zip(first, plain, strict=True):
        for number in set(patient[batch]):
            drawn, by_chance = (rows[patient[rows] == number] for rows in (batch, plain_batch))
            own = np.flatnonzero(patient == number)
            num_first = min(int(share * lesions), int(malignant[own].sum()))
            if len(own) > lesions:
                assert malignant[drawn[:num_first]].all()
                assert malignant[drawn].sum() == max(num_first, malignant[by_chance].sum())
            else:
                assert set(drawn) == set(own)


def test_a_share_of_zero_reads_no_label():
    patient = np.repeat([0, 1, 2], 9)
    plain = [batch.tolist() for batch in batches_of(patient).epoch(0)]
    labelled = [batch.tolist() for batch in batches_of(patient, np.arange(27) % 2 == 0).epoch(0)]
    assert plain == labelled


def test_epochs_and_seeds_differ_and_each_is_the_same_again():
    patient = np.repeat(np.arange(6), 5)
    first, again, next_epoch, other_seed = (
        [batch.tolist() for batch in batches_of(patient, seed=seed).epoch(epoch)]
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert first == again
    assert first != next_epoch
    assert first != other_seed


@pytest.mark.parametrize("patient", [[], [0, 0, 0]])
def test_fewer_than_two_patients_are_an_error(patient):
    with pytest.raises(ValueError, match="contrastive training needs at least two"):
        batches_of(np.array(patient, dtype=np.int64))


many = st.builds(
    lambda counts, seed: np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)),
    st.lists(st.integers(1, 40), min_size=2, max_size=14),
    st.integers(0, 1000),
)


@given(patient=many, patients=st.integers(2, 6), lesions=st.integers(1, 5), epoch=st.integers(0, 3))
def test_an_epoch_of_lesions_draws_each_once_and_no_patient_twice_in_a_batch(patient, patients, lesions, epoch):
    batches = batches_of(patient, patients=patients, lesions=lesions, epoch="lesions")
    drawn = list(batches.epoch(epoch))
    rows = np.concatenate(drawn)
    counts = np.bincount(patient)
    assert len(drawn) == batches.num_batches and len(rows) == batches.lesions_per_epoch
    assert len(set(rows)) == len(rows)
    draws = -(-counts // lesions)
    if 2 * draws.max() <= draws.sum():
        assert sorted(rows) == list(range(len(patient)))  # every lesion
    for batch in drawn:
        owners, taken = np.unique(patient[batch], return_counts=True)
        assert len(owners) >= 2 and taken.max() <= lesions
        assert (np.diff(patient[batch]) != 0).sum() == len(owners) - 1  # a patient's rows next to each other
    sizes = [len(set(patient[batch])) for batch in drawn]
    assert max(sizes) - min(sizes) <= 1


def test_of_a_patient_with_most_lesions_what_would_be_alone_waits():
    patient = np.repeat([0, 1], [100, 6])
    batches = batches_of(patient, lesions=3, epoch="lesions")
    first, second = (np.concatenate(list(batches.epoch(epoch))) for epoch in (0, 1))
    assert len(first) == len(second) == 12 == batches.lesions_per_epoch
    assert set(first[patient[first] == 0]) != set(second[patient[second] == 0])


def test_positive_sampling_and_epochs_of_lesions_exclude_each_other():
    with pytest.raises(ValueError, match="epoch: lesions` draws them all: set one"):
        SamplerParams(epoch="lesions", malignant_first_share=0.5)


@given(
    patient=cohorts,
    patients=st.integers(2, 6),
    epoch=st.sampled_from(["patients", "lesions"]),
    count=st.integers(1, 6),
)
def test_processes_share_a_batch_by_whole_patients_without_overlap(patient, patients, epoch, count):
    batches = batches_of(patient, patients=patients, epoch=epoch)
    count = min(count, batches.fewest_patients)
    for rows in batches.steps(0, 2 * batches.num_batches):
        assert len(set(patient[rows])) >= batches.fewest_patients
        parts = [rows[own_part(patient[rows], rank, count)] for rank in range(count)]
        assert np.array_equal(np.concatenate(parts), rows)
        owners = [set(patient[part]) for part in parts]
        assert all(owners) and sum(map(len, owners)) == len(set(patient[rows]))


def test_parts_of_a_batch_have_about_as_many_lesions_each():
    patient = np.repeat(np.arange(8), [1, 1, 1, 1, 4, 1, 1, 2])
    assert [own_part(patient, rank, 2) for rank in range(2)] == [slice(0, 4), slice(4, 12)]
    assert [own_part(patient, rank, 3) for rank in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 12)]
    assert [own_part(np.array([5, 5, 5, 5, 2, 9]), rank, 3) for rank in range(3)] == [
        slice(0, 4),
        slice(4, 5),
        slice(5, 6),
    ]


@given(
    counts=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=2, max_size=8),
    limit=st.integers(1, 4),
    unit=st.sampled_from(["patients", "lesions"]),
    seed=st.integers(0, 50),
)
def test_of_each_lesion_drawn_some_pictures_stand_next_to_each_other_and_none_twice(counts, limit, unit, seed):
    patient_of_lesion = np.repeat(np.arange(len(counts)), [len(lesions) for lesions in counts])
    num_pictures = np.concatenate(counts)
    lesion = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(num_pictures)), num_pictures))
    lesion = np.unique(lesion, return_index=True)[1].argsort().argsort()[lesion]  # numbered as they first appear
    patient = np.random.default_rng(seed + 1).permutation(patient_of_lesion)[lesion]
    settings = SamplerParams(patients_per_batch=4, lesions_per_patient=2, images_per_lesion=limit, epoch=unit)

    def batches():
        return PatientBatches(patient, np.zeros(len(patient), dtype=bool), settings, seed, lesion)

    drawn = list(batches().epoch(2))
    assert len(set(np.concatenate(drawn))) == len(np.concatenate(drawn))
    for rows in drawn:
        for number_N, most in ((lesion, limit), (patient, 2 * limit)):
            runs = number_N[rows][np.r_[True, np.diff(number_N[rows]) != 0]]
            assert len(set(runs)) == len(runs)
            assert max(np.bincount(number_N[rows])) <= most
        for one in set(lesion[rows]):
            assert (lesion[rows] == one).sum() == min(limit, (lesion == one).sum())
    every = [rows.tolist() for rows in batches().steps(0, 3 * len(drawn))]
    assert [rows.tolist() for rows in batches().steps(len(drawn) + 1, 3 * len(drawn))] == every[len(drawn) + 1 :]


def test_positive_sampling_draws_a_lesion_that_one_of_its_pictures_shows_to_be_malignant():
    patient = np.repeat([0, 1], 40)
    lesion = np.arange(80) // 2
    malignant = np.isin(np.arange(80), [7, 50])  # one picture of lesion 3, one of lesion 25
    settings = SamplerParams(patients_per_batch=2, lesions_per_patient=4, malignant_first_share=0.25)
    for epoch in range(5):
        (rows,) = PatientBatches(patient, malignant, settings, 0, lesion).epoch(epoch)
        assert {6, 7, 50, 51} <= set(rows) and len(rows) == 16
