"""A lesion against its patient's other lesions."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.neighbors import LocalOutlierFactor

from slimp_pipeline.evaluation.features.patient_context import patient_relative, ugly_duckling

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
FUNCTIONS = pytest.mark.parametrize("describe", [ugly_duckling, patient_relative])


@st.composite
def cohorts(draw, *, missing_share=0.0):
    """Measurements of up to 40 rows and their patients, some of whom have one row."""
    num_rows, num_patients = draw(st.integers(1, 40)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    value_NF = rng.normal(size=(num_rows, draw(st.integers(1, 4))))
    value_NF[rng.random(value_NF.shape) < missing_share] = np.nan
    return value_NF, rng.integers(0, num_patients, num_rows), rng


@FUNCTIONS
@given(case=cohorts())
def test_the_order_of_rows_does_not_matter(describe, case):
    value_NF, patient_N, rng = case
    order = rng.permutation(len(patient_N))
    np.testing.assert_allclose(
        describe(value_NF[order], patient_N[order]), describe(value_NF, patient_N)[order], **CLOSE
    )


@FUNCTIONS
@given(case=cohorts())
def test_what_patients_are_called_does_not_matter(describe, case):
    value_NF, patient_N, rng = case
    name_P = rng.permutation([f"patient {n}" for n in range(8)]).astype(object)
    np.testing.assert_allclose(describe(value_NF, name_P[patient_N]), describe(value_NF, patient_N), **CLOSE)


@FUNCTIONS
@given(case=cohorts())
def test_patients_do_not_influence_one_another(describe, case):
    value_NF, patient_N, _ = case
    together = describe(value_NF, patient_N)
    for patient in set(patient_N):
        own_N = patient_N == patient
        np.testing.assert_allclose(describe(value_NF[own_N], patient_N[own_N]), together[own_N], **CLOSE)


@given(cohorts())
def test_a_shift_of_all_of_a_patients_embeddings_changes_nothing(case):
    embedding_ND, patient_N, rng = case
    shift_PD = rng.normal(size=(8, embedding_ND.shape[1]))
    np.testing.assert_allclose(
        ugly_duckling(embedding_ND + shift_PD[patient_N], patient_N), ugly_duckling(embedding_ND, patient_N), **CLOSE
    )


@given(cohorts())
def test_distances_equal_a_slow_loop(case):
    embedding_ND, patient_N, _ = case
    context = ugly_duckling(embedding_ND, patient_N)
    for i, patient in enumerate(patient_N):
        own = embedding_ND[patient_N == patient]
        others = [embedding_ND[j] for j in range(len(patient_N)) if j != i and patient_N[j] == patient]
        np.testing.assert_allclose(context[i, :-2], embedding_ND[i] - own.mean(axis=0), **CLOSE)
        assert context[i, -2] == pytest.approx(np.linalg.norm(embedding_ND[i] - own.mean(axis=0)))
        expected = min((np.linalg.norm(embedding_ND[i] - other) for other in others), default=0)
        assert context[i, -1] == pytest.approx(expected)


def test_an_ugly_duckling_by_hand():
    embedding_ND = np.array([[0, 0], [6, 0], [9, 9], [0, 8], [6, 0]], dtype=np.float32)
    context = ugly_duckling(embedding_ND, np.array(["a", "a", "b", "a", "a"]))
    assert context[2].tolist() == [0, 0, 0, 0]  # a patient's only row
    np.testing.assert_allclose(context[3], [-3, 6, np.sqrt(45), 8])  # mean (3, 2), nearest (0, 0)
    np.testing.assert_allclose(context[0], [-3, -2, np.sqrt(13), 6])
    assert context[1, 3] == context[4, 3] == 0  # each other's twin


@given(cohorts(missing_share=0.3))
def test_standardised_values_and_ranks_equal_a_slow_loop(case):
    value_NF, patient_N, _ = case
    width = value_NF.shape[1]
    relative = patient_relative(value_NF, patient_N, with_local_outlier_factor=False)
    assert relative.shape == (len(value_NF), 3 * width)
    np.testing.assert_array_equal(relative[:, 2 * width :], value_NF)
    for i, f in np.ndindex(value_NF.shape):
        own = value_NF[patient_N == patient_N[i], f]
        known = own[~np.isnan(own)]
        standard, rank = relative[i, f], relative[i, width + f]
        if np.isnan(value_NF[i, f]):
            assert np.isnan(standard) and np.isnan(rank)
        elif len(known) == 1:
            assert (standard, rank) == (0, 0.5)
        else:
            assert standard == pytest.approx((value_NF[i, f] - known.mean()) / known.std(), rel=1e-9, abs=1e-9)
            ranks = (rankdata(known) - 1) / (len(known) - 1)
            assert rank == pytest.approx(ranks[np.flatnonzero(known == value_NF[i, f])[0]])


def test_patient_relative_values_by_hand():
    value_NF = np.array([[1.0], [3.0], [3.0], [5.0], [np.nan]])
    relative = patient_relative(value_NF, np.zeros(5), with_local_outlier_factor=False)
    root = np.sqrt(2)  # mean 3, deviations 2, 0, 0, 2
    np.testing.assert_allclose(relative[:, 0], [-root, 0, 0, root, np.nan])
    np.testing.assert_allclose(relative[:, 1], [0, 0.5, 0.5, 1, np.nan])


def test_equal_values_stand_at_the_mean_whatever_their_rounding():
    relative = patient_relative(np.full((7, 1), 0.1), np.zeros(7))
    np.testing.assert_array_equal(relative, np.tile([0, 0.5, 0.1, 1], (7, 1)))


@given(cohorts())
def test_ranks_ignore_monotone_transforms_and_standardised_values_linear_ones(case):
    value_NF, patient_N, _ = case
    width = value_NF.shape[1]
    plain = patient_relative(value_NF, patient_N)
    bent = patient_relative(np.exp(value_NF), patient_N)
    np.testing.assert_array_equal(bent[:, width : 2 * width], plain[:, width : 2 * width])
    scaled = patient_relative(5 * value_NF + 2, patient_N)
    np.testing.assert_allclose(scaled[:, :width], plain[:, :width], **CLOSE)
    np.testing.assert_allclose(scaled[:, -1], plain[:, -1], **CLOSE)


def test_the_outlier_among_a_patients_rows_has_the_highest_local_outlier_factor():
    rng = np.random.default_rng(0)
    value_NF = np.concatenate([rng.normal(size=(30, 3)), [[8.0, 8, 8]], [[8.0, 8, 8]]])
    patient_N = np.array([0] * 31 + [1])
    factor_N = patient_relative(value_NF, patient_N)[:, -1]
    assert factor_N.argmax() == 30 and factor_N[30] > 2
    assert np.median(factor_N[:30]) == pytest.approx(1, abs=0.2)
    own = value_NF[:31]
    model = LocalOutlierFactor(20).fit((own - own.mean(axis=0)) / own.std(axis=0))
    np.testing.assert_allclose(factor_N[:31], -model.negative_outlier_factor_)
    assert factor_N[31] == 1  # alike, but its patient's only row


@pytest.mark.parametrize("num_rows", [1, 2])
def test_patients_of_one_or_two_rows_have_no_outlier(num_rows):
    value_NF = np.array([[1.0, np.nan], [100.0, 3.0]])[:num_rows]
    assert patient_relative(value_NF, np.zeros(num_rows))[:, -1].tolist() == [1] * num_rows


def test_a_row_beside_many_equal_ones_is_an_outlier_without_a_warning():
    value_NF = np.append(np.zeros(30), 1.0)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factor_N = patient_relative(value_NF, np.zeros(31))[:, -1]
    assert np.isfinite(factor_N).all() and factor_N.argmax() == 30


@FUNCTIONS
def test_no_rows_give_no_rows(describe):
    assert describe(np.zeros((0, 2)), np.array([], dtype=object)).shape[0] == 0


@FUNCTIONS
def test_rows_without_patient_and_shapes_that_do_not_fit_are_refused(describe):
    with pytest.raises(ValueError, match="no patient id"):
        describe(np.zeros((2, 2)), np.array(["a", None], dtype=object))
    with pytest.raises(ValueError, match="2 rows but 3 patient ids"):
        describe(np.zeros((2, 2)), np.arange(3))


def test_values_that_have_no_distance_or_column_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        ugly_duckling(np.array([[np.nan]]), np.array([0]))
    with pytest.raises(ValueError, match="infinite"):
        patient_relative(np.array([[np.inf]]), np.array([0]))
    with pytest.raises(ValueError, match="no column"):
        patient_relative(np.zeros((3, 0)), np.zeros(3))


def test_another_photograph_of_a_lesion_is_no_other_lesion():
    # Lesion x twice (0 and 2: mean 1), lesion y once (7): the patient's mean is 4; patient b has one lesion alone.
    embedding_ND = np.array([[0.0], [2.0], [7.0], [5.0], [9.0]])
    context = ugly_duckling(embedding_ND, np.array(list("aaabb")), np.array(["x", "x", "y", "z", "z"]))
    assert context[:3].tolist() == [[-4, 4, 7], [-2, 2, 5], [3, 3, 5]]
    assert not context[3:].any()


@given(cohorts())
def test_where_each_row_is_a_lesion_naming_them_changes_nothing(case):
    embedding_ND, patient_N, _ = case
    named = ugly_duckling(embedding_ND, patient_N, np.arange(len(patient_N)))
    np.testing.assert_allclose(named, ugly_duckling(embedding_ND, patient_N))
