"""The linear probe."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from slimp_pipeline.evaluation.measures.bootstrap import Weightings
from slimp_pipeline.evaluation.measures.calibration import rescale
from slimp_pipeline.evaluation.measures.metrics import expected_calibration_error
from slimp_pipeline.evaluation.protocols import probe
from slimp_pipeline.evaluation.protocols.probe import fit_probe
from slimp_pipeline.parameters import ProbeParams


def linear_probe(feature_ND, label_N, patient_N, train_N, test_N, num_classes, settings, seed):
    fitted = fit_probe(feature_ND[train_N], label_N[train_N], patient_N[train_N], num_classes, settings, seed)
    return fitted.scores(feature_ND[test_N]), fitted.strength, fitted.temperature


def blobs(num_rows=90, width=6, num_classes=3, shift=2.0, seed=0):
    rng = np.random.default_rng(seed)
    label_N = np.arange(num_rows) % num_classes
    centres = rng.normal(size=(num_classes, width)) * shift
    return centres[label_N] + rng.normal(size=(num_rows, width)), label_N, np.arange(num_rows) // 2


@pytest.mark.parametrize("width", [4, 200])
def test_scores_are_those_of_scikit_learn(width):
    feature_ND, label_N, patient_N = blobs(60, width, shift=0.5)
    train_N = np.arange(60) < 40
    settings = ProbeParams(strengths=[0.1])
    scores, strength, _ = linear_probe(feature_ND, label_N, patient_N, train_N, ~train_N, 3, settings, 0)
    plain = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-8, max_iter=5000)
    plain.fit(feature_ND[train_N], label_N[train_N])
    np.testing.assert_allclose(scores, plain.predict_proba(feature_ND[~train_N]), atol=1e-3)
    assert strength == 0.1


def test_the_strength_is_chosen_without_test_rows():
    feature_ND, label_N, patient_N = blobs(shift=0.6)
    train_N = np.arange(90) < 60
    rng = np.random.default_rng(1)
    other_ND = np.where(train_N[:, None], feature_ND, rng.normal(50, 100, feature_ND.shape))
    other_labels = np.where(train_N, label_N, rng.permutation(label_N))
    first = linear_probe(feature_ND, label_N, patient_N, train_N, train_N, 3, ProbeParams(), 0)
    second = linear_probe(other_ND, other_labels, patient_N, train_N, train_N, 3, ProbeParams(), 0)
    assert first[1] == second[1]
    np.testing.assert_array_equal(first[0], second[0])


def test_inner_folds_keep_patients_together():
    feature_ND, label_N, patient_N = blobs()
    everyone = np.ones(90, dtype=bool)
    seen = []
    splitter = probe.StratifiedGroupKFold

    class Recording(splitter):
        def split(self, *arguments):
            for train, test in super().split(*arguments):
                seen.append(set(patient_N[train]) & set(patient_N[test]))
                yield train, test

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "StratifiedGroupKFold", Recording)
        linear_probe(feature_ND, label_N, patient_N, everyone, everyone, 3, ProbeParams(), 0)
    assert len(seen) == ProbeParams().num_inner_folds and not any(seen)


def test_classes_without_a_training_row_get_probability_0():
    feature_ND, label_N, patient_N = blobs()
    train_N = (np.arange(90) < 60) & (label_N != 1)
    scores, *_ = linear_probe(feature_ND, label_N, patient_N, train_N, ~train_N, 5, ProbeParams(), 0)
    assert scores.shape == ((~train_N).sum(), 5)
    assert not scores[:, [1, 3, 4]].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_one_class_in_training_is_refused():
    feature_ND, label_N, patient_N = blobs()
    with pytest.raises(ValueError, match="one class"):
        linear_probe(feature_ND, label_N, patient_N, label_N == 0, label_N == 1, 3, ProbeParams(), 0)


def test_separable_classes_are_told_apart():
    feature_ND, label_N, patient_N = blobs(shift=8)
    train_N = np.arange(90) < 60
    scores, *_ = linear_probe(feature_ND, label_N, patient_N, train_N, ~train_N, 3, ProbeParams(), 0)
    assert (scores.argmax(axis=1) == label_N[~train_N]).all()


def test_features_that_tell_nothing_give_every_class_the_same_chance():
    _, label_N, patient_N = blobs()
    train_N = np.arange(90) < 60
    scores, *_ = linear_probe(np.zeros((90, 1)), label_N, patient_N, train_N, ~train_N, 3, ProbeParams(), 0)
    np.testing.assert_allclose(scores, 1 / 3, atol=1e-3)


def test_classes_of_fewer_rows_than_inner_folds_are_no_hindrance():
    feature_ND, label_N, _ = blobs(6, shift=8)
    everyone = np.ones(6, dtype=bool)
    settings = ProbeParams(num_inner_folds=3)
    scores, *_ = linear_probe(feature_ND, label_N, np.arange(6), everyone, everyone, 3, settings, 0)
    assert (scores.argmax(axis=1) == label_N).all()


def test_the_strength_chosen_has_the_lowest_class_weighted_log_loss_over_inner_folds():
    rng = np.random.default_rng(3)
    label_N = np.repeat([0, 0, 0, 1], 30)
    feature_ND = rng.normal(size=(120, 6)) + label_N[:, None] * 0.8
    train_N, strengths = np.arange(120) < 119, [0.001, 0.1, 1000.0]
    settings = ProbeParams(strengths=strengths, num_inner_folds=3)
    patient_N = np.arange(120)
    _, chosen, _ = linear_probe(feature_ND, label_N, patient_N, train_N, ~train_N, 2, settings, 0)
    features, labels = feature_ND[train_N], label_N[train_N]
    weights = (1 / np.bincount(labels))[labels]
    losses = []
    for strength in strengths:
        loss = 0.0
        for train, test in StratifiedGroupKFold(3, shuffle=True, random_state=0).split(
            features, labels, patient_N[train_N]
        ):
            model = LogisticRegression(C=strength, class_weight="balanced", tol=1e-6, max_iter=2000)
            probability = model.fit(features[train], labels[train]).predict_proba(features[test])
            loss -= (weights[test] * np.log(probability[np.arange(len(test)), labels[test]])).sum()
        losses.append(loss)
    assert chosen == strengths[int(np.argmin(losses))]


def test_the_temperature_makes_overconfident_held_out_scores_less_sure():
    rng = np.random.default_rng(0)
    feature_ND, patient_N = rng.normal(size=(200, 60)), np.arange(200)
    label_N = (feature_ND[:, 0] + rng.normal(0, 2, 200) > 0).astype(int)
    train_N = np.arange(200) < 120
    weak = ProbeParams(strengths=[100.0, 200.0], num_inner_folds=4)  # too weak a penalty: overfits
    score_NK, _, temperature = linear_probe(feature_ND, label_N, patient_N, train_N, ~train_N, 2, weak, 0)
    assert temperature > 1.5
    calibrated = rescale(score_NK, temperature)
    ones = Weightings.of_rows(np.ones((1, 80)))
    before, after = (expected_calibration_error(s, label_N[~train_N], ones)[0] for s in (score_NK, calibrated))
    assert after < before
    np.testing.assert_array_equal(calibrated.argmax(axis=1), score_NK.argmax(axis=1))


def test_a_single_strength_is_calibrated_where_that_is_read_and_scores_as_without():
    rng = np.random.default_rng(0)
    feature_ND, patient_N = rng.normal(size=(200, 60)), np.arange(200)
    label_N = (feature_ND[:, 0] + rng.normal(0, 2, 200) > 1.5).astype(int)
    settings = ProbeParams(strengths=[100.0], for_macro_f1=True)
    plain, calibrated = (
        fit_probe(feature_ND, label_N, patient_N, 2, settings, 0, calibrated=calibrated) for calibrated in (False, True)
    )
    assert plain.temperature == 1 and plain.weight_K.tolist() == [1, 1]
    assert calibrated.temperature > 1.5 and calibrated.weight_K[0] != calibrated.weight_K[1]
    np.testing.assert_array_equal(plain.scores(feature_ND), calibrated.scores(feature_ND))
    among_others = fit_probe(feature_ND, label_N, patient_N, 2, ProbeParams(strengths=[100.0, 1e5]), 0)
    assert among_others.strength == 100.0
    assert calibrated.temperature == pytest.approx(among_others.temperature, rel=0.02)
