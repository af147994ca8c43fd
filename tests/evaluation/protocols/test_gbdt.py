"""Gradient boosted trees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.class_weight import compute_sample_weight

from slimp_pipeline.evaluation.protocols import gbdt
from slimp_pipeline.evaluation.protocols.gbdt import MAX_ROUNDS, UNTUNED_ROUNDS, gbdt_scores


def blobs(num_rows=90, width=6, num_classes=3, shift=2.0, seed=0):
    rng = np.random.default_rng(seed)
    label_N = np.arange(num_rows) % num_classes
    centres = rng.normal(size=(num_classes, width)) * shift
    return centres[label_N] + rng.normal(size=(num_rows, width)), label_N, np.arange(num_rows) // 2


@pytest.fixture
def fits(monkeypatch):
    """Rounds asked for, labels and held-out labels of every fit."""
    seen = []

    class Recording(HistGradientBoostingClassifier):
        def fit(self, X, y, **arguments):
            seen.append((self.max_iter, y, arguments.get("y_val")))
            return super().fit(X, y, **arguments)

    monkeypatch.setattr(gbdt, "HistGradientBoostingClassifier", Recording)
    return seen


def test_separable_classes_are_told_apart():
    feature_ND, label_N, patient_N = blobs(shift=8)
    train_N = np.arange(90) < 60
    scores = gbdt_scores([feature_ND], label_N, patient_N, train_N, ~train_N, 3, 0)
    assert (scores.argmax(axis=1) == label_N[~train_N]).mean() > 0.9
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_an_interaction_that_no_linear_model_sees_is_found():
    rng = np.random.default_rng(0)
    feature_ND = rng.normal(size=(400, 4))
    label_N = (feature_ND[:, 0] * feature_ND[:, 1] > 0).astype(int)
    train_N = np.arange(400) < 300
    scores = gbdt_scores([feature_ND], label_N, np.arange(400), train_N, ~train_N, 2, 0)
    assert (scores.argmax(axis=1) == label_N[~train_N]).mean() > 0.8


def test_a_value_that_is_missing_tells_as_much_as_one_that_is_there():
    label_N = np.arange(80) % 2
    feature_ND = np.where(label_N == 1, np.nan, np.random.default_rng(0).normal(size=80))[:, None]
    train_N = np.arange(80) < 60
    scores = gbdt_scores([feature_ND], label_N, np.arange(80), train_N, ~train_N, 2, 0)
    assert (scores.argmax(axis=1) == label_N[~train_N]).all()


def test_the_order_of_a_columns_values_counts_and_not_their_scale():
    feature_ND, label_N, patient_N = blobs(200)
    train_N = np.arange(200) < 120
    plain = gbdt_scores([feature_ND], label_N, patient_N, train_N, train_N, 3, 0)
    np.testing.assert_allclose(gbdt_scores([np.exp(feature_ND)], label_N, patient_N, train_N, train_N, 3, 0), plain)


def test_neither_test_rows_nor_their_labels_shape_the_model():
    feature_ND, label_N, patient_N = blobs(shift=0.6)
    train_N = np.arange(90) < 60
    rng = np.random.default_rng(1)
    other_ND = np.where(train_N[:, None], feature_ND, rng.normal(50, 100, feature_ND.shape))
    other_labels = np.where(train_N, label_N, rng.permutation(label_N))
    first = gbdt_scores([feature_ND], label_N, patient_N, train_N, train_N, 3, 0)
    np.testing.assert_array_equal(gbdt_scores([other_ND], other_labels, patient_N, train_N, train_N, 3, 0), first)


def test_rounds_are_chosen_on_held_out_rows_and_all_training_rows_are_fitted_with_them(fits):
    feature_ND, label_N, patient_N = blobs(shift=0.8)
    train_N = np.arange(90) < 70
    gbdt_scores([feature_ND], label_N, patient_N, train_N, ~train_N, 3, 0)
    (max_rounds, fitted, held_out), (num_rounds, refitted, none) = fits
    assert max_rounds == MAX_ROUNDS and 1 <= num_rounds < MAX_ROUNDS
    assert len(fitted) + len(held_out) == 70 and 10 <= len(held_out) <= 20
    np.testing.assert_array_equal(refitted, label_N[train_N])
    assert none is None


def test_of_many_rows_some_are_fitted_and_all_of_a_rare_class(fits, monkeypatch):
    monkeypatch.setattr(gbdt, "MAX_ROWS", 50)
    feature_ND, label_N, patient_N = blobs(shift=0.8)
    label_N[label_N == 2] = np.where(np.arange(30) < 4, 2, 0)
    everyone = np.ones(90, dtype=bool)
    scores = gbdt_scores([feature_ND], label_N, patient_N, everyone, everyone, 3, 0)
    (_, fitted, held_out), (_, refitted, _) = fits
    assert np.bincount([*fitted, *held_out]).tolist() == np.bincount(refitted).tolist() == [23, 23, 4]
    assert scores.shape == (90, 3)


def test_the_number_of_rounds_has_the_lowest_class_weighted_log_loss_on_the_held_out_rows(fits):
    feature_ND, label_N, patient_N = blobs(120, shift=0.5, seed=4)
    label_N = np.where(label_N == 2, 0, label_N)  # twice as many of class 0
    everyone = np.ones(120, dtype=bool)
    gbdt_scores([feature_ND], label_N, patient_N, everyone, everyone, 2, 0)
    fitted, held_out = gbdt._held_out(label_N, patient_N, 0)
    binned_ND, _ = gbdt._binned([feature_ND], np.arange(120), everyone)
    weights = compute_sample_weight("balanced", label_N[held_out])
    losses = []
    for num_rounds in range(1, 60):
        model = HistGradientBoostingClassifier(
            **gbdt._TREES, max_iter=num_rounds, early_stopping=False, random_state=0
        ).fit(binned_ND[fitted], label_N[fitted])
        probability = model.predict_proba(binned_ND[held_out])[np.arange(len(held_out)), label_N[held_out]]
        losses.append(-np.average(np.log(probability), weights=weights))
    assert fits[1][0] == 1 + int(np.argmin(losses))


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(2, 20))
def test_held_out_patients_have_no_fitted_row_and_both_sides_have_every_class(seed, num_classes, num_patients):
    rng = np.random.default_rng(seed)
    label_N, patient_N = rng.integers(0, num_classes, 40), rng.integers(0, num_patients, 40)
    split = gbdt._held_out(label_N, patient_N, seed)
    if split is None:
        return
    fitted, held_out = split
    assert not set(patient_N[fitted]) & set(patient_N[held_out])
    assert set(label_N[fitted]) == set(label_N[held_out]) == set(label_N)
    assert sorted([*fitted, *held_out]) == list(range(40))


@pytest.mark.parametrize(
    ("label_N", "patient_N"),
    [
        (np.repeat([0, 1], 20), np.repeat([0, 1], 20)),  # a class is one patient's
        (np.tile([0, 1], 20), np.zeros(40, dtype=int)),  # one patient
        (np.array([0, 1]), np.array([0, 1])),  # a row of each class
    ],
)
def test_where_no_held_out_set_has_every_class_the_number_of_rounds_is_fixed(fits, label_N, patient_N):
    everyone = np.ones(len(label_N), dtype=bool)
    gbdt_scores([np.random.default_rng(0).normal(size=(len(label_N), 3))], label_N, patient_N, everyone, everyone, 2, 0)
    assert [num_rounds for num_rounds, *_ in fits] == [UNTUNED_ROUNDS]


def test_classes_without_a_training_row_get_probability_0():
    feature_ND, label_N, patient_N = blobs()
    train_N = (np.arange(90) < 60) & (label_N != 1)
    scores = gbdt_scores([feature_ND], label_N, patient_N, train_N, ~train_N, 5, 0)
    assert scores.shape == ((~train_N).sum(), 5)
    assert not scores[:, [1, 3, 4]].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_a_rare_class_scores_no_lower_than_a_common_one_where_features_tell_nothing():
    label_N = np.array([0] * 90 + [1] * 10)
    everyone = np.ones(100, dtype=bool)
    scores = gbdt_scores([np.zeros((100, 1))], label_N, np.arange(100), everyone, everyone, 2, 0)
    np.testing.assert_allclose(scores, 0.5)


def test_columns_that_training_rows_lack_are_ignored():
    feature_ND, label_N, patient_N = blobs()
    train_N = np.arange(90) < 60
    empty_N1 = np.where(train_N, np.nan, 7.0)[:, None]
    plain = gbdt_scores([feature_ND], label_N, patient_N, train_N, ~train_N, 3, 0)
    widened = gbdt_scores([np.hstack([feature_ND, empty_N1])], label_N, patient_N, train_N, ~train_N, 3, 0)
    assert widened.shape == plain.shape and (widened.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.7
    changed = np.hstack([feature_ND, -empty_N1])
    np.testing.assert_array_equal(gbdt_scores([changed], label_N, patient_N, train_N, ~train_N, 3, 0), widened)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_binning_keeps_order_and_missing_values_and_leaves_few_valued_columns_alone(seed):
    rng = np.random.default_rng(seed)
    feature_ND = np.stack([rng.normal(size=200), rng.integers(0, 5, 200)], axis=1)
    feature_ND[rng.random((200, 2)) < 0.2] = np.nan
    before_ND, train_N = feature_ND.copy(), np.arange(200) < 150
    train_ND, test_ND = gbdt._binned([feature_ND], np.flatnonzero(train_N), ~train_N)
    many_N, few_N = np.concatenate([train_ND, test_ND]).T
    np.testing.assert_array_equal(feature_ND, before_ND)
    np.testing.assert_array_equal(few_N, feature_ND[:, 1])
    np.testing.assert_array_equal(np.isnan(many_N), np.isnan(feature_ND[:, 0]))
    order = np.argsort(feature_ND[:, 0])[: (~np.isnan(many_N)).sum()]
    assert (np.diff(many_N[order]) >= 0).all()
    counts = np.bincount(many_N[train_N & ~np.isnan(many_N)].astype(int))
    assert len(counts) == 31 and counts.max() - counts.min() <= 2


def test_the_same_seed_gives_the_same_scores_and_another_seed_others():
    feature_ND, label_N, patient_N = blobs(shift=0.5)
    train_N = np.arange(90) < 60
    runs = [gbdt_scores([feature_ND], label_N, patient_N, train_N, ~train_N, 3, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_no_test_row_gives_no_score():
    feature_ND, label_N, patient_N = blobs()
    everyone = np.ones(90, dtype=bool)
    assert gbdt_scores([feature_ND], label_N, patient_N, everyone, ~everyone, 3, 0).shape == (0, 3)


def test_one_class_in_training_is_refused():
    feature_ND, label_N, patient_N = blobs()
    with pytest.raises(ValueError, match="one class"):
        gbdt_scores([feature_ND], label_N, patient_N, label_N == 0, label_N == 1, 3, 0)


def test_infinite_values_are_refused():
    feature_ND, label_N, patient_N = blobs()
    feature_ND[3, 2] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        gbdt_scores([feature_ND], label_N, patient_N, label_N >= 0, label_N >= 0, 3, 0)
