"""Low-shot training sets."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.evaluation.protocols.low_shot import low_shot_draws
from slimp_pipeline.parameters import LowShotParams

NO_CLASSES = {"shots_per_class": []}
NO_SHARES = {"patient_shares": []}


def cohort(seed, num_rows=120, num_patients=40, num_classes=3):
    """Rows of several classes, the first two always there; five in six are training rows."""
    rng = np.random.default_rng(seed)
    label_N = rng.integers(0, num_classes, num_rows)
    label_N[:2] = 0, 1
    patient_N = np.array([f"p{number:02d}" for number in rng.integers(0, num_patients, num_rows)])
    patient_N[:2] = "first", "second"
    return label_N, patient_N, (np.arange(num_rows) < 2) | (rng.random(num_rows) < 5 / 6)


def drawn(label_N, patient_N, train_N, seed=0, **settings):
    return list(low_shot_draws(label_N, patient_N, train_N, LowShotParams(**settings), seed))


def as_dict(draws):
    return {(draw.shots, draw.draw): set(np.flatnonzero(draw.rows_N)) for draw in draws}


@given(st.integers(0, 10**6))
def test_draws_are_training_rows_of_two_classes_and_larger_ones_hold_smaller_ones(seed):
    label_N, patient_N, train_N = cohort(seed)
    of_draw = defaultdict(list)
    for draw in drawn(label_N, patient_N, train_N, seed):
        assert draw.rows_N.shape == train_N.shape and draw.rows_N.dtype == bool
        assert train_N[draw.rows_N].all()
        assert len(set(label_N[draw.rows_N])) >= 2
        of_draw["%" in draw.shots, draw.draw].append((float(draw.shots.strip("%")), draw.rows_N))
    for sets in of_draw.values():
        ordered = [rows_N for _, rows_N in sorted(sets, key=lambda pair: pair[0])]
        for smaller, larger in pairwise(ordered):
            assert (smaller <= larger).all()


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_each_class_gives_its_count_or_all_its_rows_and_no_patient_gives_two_while_another_gives_none(seed, count):
    label_N, patient_N, train_N = cohort(seed, num_patients=12)
    available = Counter(label_N[train_N])
    draws = drawn(label_N, patient_N, train_N, seed, shots_per_class=[count], num_draws=2, **NO_SHARES)
    assert bool(draws) == (count <= max(available.values()))
    for draw in draws:
        for label, num_rows in available.items():
            taken = draw.rows_N & (label_N == label)
            assert taken.sum() == min(count, num_rows)
            left = train_N & (label_N == label) & ~taken
            of_patient = Counter(patient_N[taken])
            for patient in set(patient_N[left]):  # who still has a row gave no fewer than anybody, less one
                assert of_patient[patient] >= max(of_patient.values()) - 1


def test_the_patients_that_give_a_row_are_drawn_evenly_however_many_rows_they_have():
    # Class 0: patient a has nine rows, patient b one. Drawn by row, a would come in nine draws of ten.
    label_N = np.array([0] * 10 + [1])
    patient_N = np.array(["a"] * 9 + ["b"] + ["c"])
    draws = drawn(label_N, patient_N, np.ones(11, dtype=bool), shots_per_class=[1], num_draws=400, **NO_SHARES)
    share_of_b = np.mean([draw.rows_N[9] for draw in draws])
    assert share_of_b == pytest.approx(0.5, abs=0.1)  # four standard deviations


def test_the_rows_of_a_patient_are_drawn_evenly():
    label_N, patient_N = np.array([0] * 4 + [1]), np.array(["a"] * 4 + ["b"])
    draws = drawn(label_N, patient_N, np.ones(5, dtype=bool), shots_per_class=[1], num_draws=400, **NO_SHARES)
    shares = np.mean([draw.rows_N[:4] for draw in draws], axis=0)
    np.testing.assert_allclose(shares, 0.25, atol=0.09)  # four standard deviations


def test_a_count_that_no_class_has_is_left_out_and_one_that_some_class_has_is_not():
    label_N, patient_N = np.array([0] * 6 + [1] * 3), np.arange(9)
    draws = drawn(label_N, patient_N, np.ones(9, dtype=bool), shots_per_class=[2, 6, 7], num_draws=1, **NO_SHARES)
    assert [(draw.shots, int(draw.rows_N.sum())) for draw in draws] == [("2", 4), ("6", 9)]


@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.1, 0.25, 0.5]))
def test_a_share_of_patients_gives_all_training_rows_of_as_many_patients(seed, share):
    label_N, patient_N, train_N = cohort(seed)
    num_patients = len(set(patient_N[train_N]))
    for draw in drawn(label_N, patient_N, train_N, seed, patient_shares=[share], num_draws=2, **NO_CLASSES):
        chosen = set(patient_N[draw.rows_N])
        assert len(chosen) == max(2, round(share * num_patients))
        np.testing.assert_array_equal(draw.rows_N, train_N & np.isin(patient_N, list(chosen)))


def test_all_patients_are_drawn_once_and_sizes_are_named_as_in_the_results_table():
    label_N, patient_N, train_N = cohort(0)
    draws = drawn(label_N, patient_N, train_N, patient_shares=[0.29, 1.0, 0.125], num_draws=2, **NO_CLASSES)
    names = [(draw.shots, draw.draw) for draw in draws]
    assert names == [("12.5%", 0), ("29%", 0), ("100%", 0), ("12.5%", 1), ("29%", 1)]
    np.testing.assert_array_equal(draws[2].rows_N, train_N)


def test_draws_of_one_class_are_redrawn():
    # One patient of ten has class 1: eight draws of two patients in ten are of class 0 alone at first.
    label_N, patient_N = np.array([0] * 9 + [1]), np.arange(10)
    everyone = np.ones(10, dtype=bool)
    draws = drawn(label_N, patient_N, everyone, patient_shares=[0.2, 0.5], num_draws=20, **NO_CLASSES)
    assert len(draws) == 40 and all(draw.rows_N[9] for draw in draws)


def test_a_share_that_never_has_two_classes_is_left_out_and_larger_ones_are_not():
    # Class 1 is one patient of 4,000: a draw of two has it once in 2,000 times.
    label_N, patient_N = (np.arange(4000) == 7).astype(int), np.arange(4000)
    everyone = np.ones(4000, dtype=bool)
    draws = drawn(label_N, patient_N, everyone, patient_shares=[0.0005, 0.9, 1.0], num_draws=2, **NO_CLASSES)
    assert [(draw.shots, draw.draw) for draw in draws] == [("90%", 0), ("100%", 0), ("90%", 1)]


def test_a_draw_depends_on_seed_size_and_number_alone():
    arguments = cohort(3)
    everything = as_dict(drawn(*arguments, seed=5))
    few = as_dict(drawn(*arguments, seed=5, shots_per_class=[5], patient_shares=[0.25], num_draws=3))
    assert {key: everything[key] for key in few} == few
    other = as_dict(drawn(*arguments, seed=6))
    assert other["5", 0] != everything["5", 0] and other["25%", 0] != everything["25%", 0]
    assert everything["5", 0] != everything["5", 1] and everything["25%", 0] != everything["25%", 1]


def test_rows_outside_training_have_no_say():
    label_N, patient_N, train_N = cohort(1)
    other_labels, other_patients = np.where(train_N, label_N, 9), np.where(train_N, patient_N, "x")
    assert as_dict(drawn(label_N, patient_N, train_N)) == as_dict(drawn(other_labels, other_patients, train_N))


@pytest.mark.parametrize(
    ("label_N", "patient_N", "settings", "message"),
    [
        ([1, 1, 1], ["a", "b", "c"], {}, "one class"),
        ([0, 1, 1], ["a", "a", "a"], {}, "one patient"),
        ([0, 1, 1], ["a", None, "b"], {}, "1 training rows have no patient id"),
        ([0, 1, 1], ["a", "b", "c"], {"shots_per_class": [0, 1]}, "above 0"),
        ([0, 1, 1], ["a", "b", "c"], {"patient_shares": [0.0]}, "above 0"),
    ],
)
def test_degenerate_input_is_refused_at_once(label_N, patient_N, settings, message):
    with pytest.raises(ValueError, match=message):
        low_shot_draws(
            np.array(label_N), np.array(patient_N, dtype=object), np.ones(3, dtype=bool), LowShotParams(**settings), 0
        )
