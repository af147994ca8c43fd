"""Supervised fine-tuning of the image encoder."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import AugmentationParams, FineTuningParams, LossParams
from slimp_pipeline.training import fine_tune as module
from slimp_pipeline.training.fine_tune import LabelledImages, fine_tune

SITES = ["arm", "leg", "back", "face"]
PLAIN = AugmentationParams(brightness=0, contrast=0, saturation=0, hue_degrees=0)
CPU = torch.device("cpu")


def settings_of(**changes) -> FineTuningParams:
    plain = {"num_epochs": 3, "learning_rate": 3e-3, "image_learning_rate": 3e-3, "batch_size": 8}
    return FineTuningParams(**(plain | changes))


@pytest.fixture
def make_start(tiny, model_settings):
    """A checkpoint with random weights."""

    def make(**image_encoder) -> Checkpoint:
        torch.manual_seed(5)
        changed = model_settings.image_encoder.model_copy(update=image_encoder)
        settings = model_settings.model_copy(update={"image_encoder": changed})
        state = SLIMP(settings, LossParams(), tiny.encoding).state_dict()
        return Checkpoint(state, settings, LossParams(), tiny.encoding)

    return make


@pytest.fixture
def images(tiny) -> LabelledImages:
    """All images, with the site as class: the colour of a picture tells it."""
    rows = tiny.lesions
    label = rows["site"].map(SITES.index).to_numpy()
    return LabelledImages(rows["store_index"].to_numpy(dtype=np.int64), label, rows["patient_id"].to_numpy())


@pytest.fixture
def run(tiny, make_start):
    """Fine-tune, with one setting or another changed."""

    def tuned(
        training: LabelledImages, tested: np.ndarray, settings=None, start=None, num_classes: int = 4, seed: int = 0
    ) -> np.ndarray:
        start, settings = start or make_start(), settings or settings_of()
        return fine_tune(start, tiny.store, training, tested, num_classes, settings, PLAIN, CPU, seed, "tuning")

    return tuned


@pytest.fixture
def built(monkeypatch) -> list:
    """Classifiers as they were built."""
    made = []

    class Noted(module._Classifier):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(module, "_Classifier", Noted)
    return made


def of_patients(images: LabelledImages, first: int, last: int) -> LabelledImages:
    number = np.array([int(name[1:]) for name in images.patient_N])
    return images.rows((number >= first) & (number <= last))


def test_what_the_pictures_show_is_learnt_and_told_of_other_patients(run, images):
    training, tested = of_patients(images, 0, 7), of_patients(images, 8, 11)
    assert len(np.unique(training.label_N)) == 4
    score = run(training, tested.store_index_N, settings_of(num_epochs=25, patience_epochs=25))
    assert (score.argmax(axis=1) == tested.label_N).mean() >= 0.9


def test_weights_of_another_architecture_are_refused(run, images, make_start):
    start = make_start()
    start.state["image_encoder.of_another"] = torch.ones(7)
    with pytest.raises(ValueError, match=r"don't fit the network .*1 unknown \['image_encoder\.of_another'\]"):
        run(images, images.store_index_N[:7], start=start)


def test_scores_are_probabilities(run, images):
    score = run(images, images.store_index_N[:7])
    assert (score.shape, score.dtype) == ((7, 4), np.float64)
    assert ((score > 0) & (score < 1)).all()
    np.testing.assert_allclose(score.sum(axis=1), 1, rtol=1e-9)


def test_a_class_without_a_training_row_has_probability_zero_and_the_others_share_the_whole(run, images):
    training = images.rows(images.label_N != 2)
    score = run(training, images.store_index_N, num_classes=6)
    assert (score[:, [2, 4, 5]] == 0).all()
    assert (score[:, [0, 1, 3]] > 0).all()
    np.testing.assert_allclose(score.sum(axis=1), 1, rtol=1e-9)


@pytest.mark.parametrize("image_encoder", [{}, {"name": "tf_efficientnet_lite0", "arguments": None}])
def test_rows_that_are_tested_do_not_influence_what_is_learnt_nor_one_another(
    run, images, built, make_start, image_encoder
):
    start, settings = make_start(**image_encoder), settings_of(num_epochs=1)
    training = of_patients(images, 0, 7)
    few, many = of_patients(images, 8, 8).store_index_N, of_patients(images, 8, 11).store_index_N
    position = {row: place for place, row in enumerate(many)}
    scores = [run(training, tested, settings, start) for tested in (few, many)]
    np.testing.assert_allclose(scores[0], scores[1][[position[row] for row in few]], rtol=1e-4)
    first, second = (classifier.state_dict() for classifier in built)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_same_seed_gives_the_very_same_scores_and_another_does_not(run, images, make_start):
    start = make_start()
    torch.manual_seed(1)
    first = run(images, images.store_index_N, start=start)
    torch.manual_seed(2)
    assert np.array_equal(first, run(images, images.store_index_N, start=start))
    assert not np.allclose(first, run(images, images.store_index_N, start=start, seed=1))


@pytest.fixture
def scripted(monkeypatch):
    """Validation losses as scripted; the scores that they were asked of."""

    def script(losses: list[float]) -> list[np.ndarray]:
        seen: list[np.ndarray] = []

        def log_loss(score_NK, label_N, weight_K):
            seen.append(score_NK)
            return losses[len(seen) - 1]

        monkeypatch.setattr(module, "_log_loss", log_loss)
        return seen

    return script


def test_scores_hang_on_the_image_encoder_alone_whatever_it_was_pretrained_with(run, images, make_start, tiny):
    start, loss = make_start(), LossParams(objective="simclr")
    other = SLIMP(start.model, loss, tiny.encoding)
    other.image_encoder.load_state_dict(
        {k.removeprefix("image_encoder."): v for k, v in start.state.items() if k.startswith("image_encoder.")}
    )
    simclr = Checkpoint(other.state_dict(), start.model, loss, tiny.encoding)
    tested = images.store_index_N[:6]
    np.testing.assert_array_equal(run(images, tested, start=simclr), run(images, tested, start=start))


@pytest.mark.parametrize(
    ("losses", "patience", "num_run", "best"),
    [
        ([3.0, 1.0, 2.0, 1.5, 0.1], 2, 4, 1),  # stops after two epochs without a lower loss
        ([3.0, 1.0, 2.0, 0.5, 0.7], 2, 5, 3),  # a lower loss in time
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1, 2, 0),
        ([5.0, 4.0, 3.0, 2.0, 1.0], 1, 5, 4),
        ([1.0, 1.0, 1.0, 1.0, 0.9], 3, 4, 0),  # no lower is no better
    ],
)
def test_it_stops_early_and_takes_the_best_epochs_weights(run, images, scripted, losses, patience, num_run, best):
    seen = scripted(losses)
    settings = settings_of(num_epochs=5, patience_epochs=patience)
    held_out = images.rows(module._held_out(images, settings, 0))
    score = run(images, held_out.store_index_N, settings)
    assert len(seen) == num_run
    np.testing.assert_allclose(score, seen[best], rtol=1e-9)
    assert not any(np.allclose(score, other, rtol=1e-5) for other in seen[:best] + seen[best + 1 :])


def test_patients_held_out_to_stop_by_are_never_trained_on(run, images, monkeypatch):
    trained = []
    plain = module._train_epoch

    def spy(classifier, optimizer, store, data, *rest):
        trained.append(data)
        plain(classifier, optimizer, store, data, *rest)

    monkeypatch.setattr(module, "_train_epoch", spy)
    run(images, images.store_index_N)
    held_out = images.rows(module._held_out(images, settings_of(), 0))
    assert len(trained) == 3
    for data in trained:
        assert set(data.patient_N) | set(held_out.patient_N) == set(images.patient_N)
        assert not set(data.patient_N) & set(held_out.patient_N)
        assert len(data.store_index_N) + len(held_out.store_index_N) == len(images.store_index_N)


def test_frozen_stages_of_a_transformer_stay_bit_identical(run, images, built, make_start):
    start = make_start(num_trained_stages=1)
    run(images, images.store_index_N[:2], start=start)
    state = built[0].encoder.state_dict()
    changed = {name for name, value in state.items() if not torch.equal(value, start.state[f"image_encoder.{name}"])}
    assert changed == {name for name in state if name.startswith(("blocks.", "norm."))}


def test_frozen_stages_of_a_convolutional_network_keep_weights_and_statistics(run, images, built, make_start):
    start = make_start(name="tf_efficientnet_lite0", arguments=None, num_trained_stages=1)
    run(images, images.store_index_N[:2], settings_of(num_epochs=1), start)
    state = built[0].encoder.state_dict()
    changed = {name for name, value in state.items() if not torch.equal(value, start.state[f"image_encoder.{name}"])}
    assert changed == {name for name in state if name.startswith(("blocks.6.", "conv_head.", "bn2."))}


def test_an_encoder_frozen_throughout_leaves_a_linear_probe(run, images, built, make_start):
    start = make_start(num_trained_stages=0)
    score = run(images, images.store_index_N, start=start)
    assert all(
        torch.equal(value, start.state[f"image_encoder.{name}"])
        for name, value in built[0].encoder.state_dict().items()
    )
    assert np.isfinite(score).all()
    assert built[0].head.bias.abs().sum() > 0  # it starts at zero


def test_the_encoder_and_the_classifier_have_rates_of_their_own(make_start):
    classifier = module._Classifier(make_start(), 4, 0, CPU)
    groups = classifier.optimizer(settings_of(learning_rate=0.25, image_learning_rate=0.5)).param_groups
    assert [group["peak_lr"] for group in groups] == [0.5, 0.25]
    assert len(groups[0]["params"]) == len(list(classifier.encoder.parameters()))
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in classifier.head.parameters()}


def test_a_loss_that_is_not_finite_is_refused(run, images):
    settings = settings_of(learning_rate=1e30, image_learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"isn't finite in epoch \d+.*fine_tuning.learning_rate"):
        run(images, images.store_index_N, settings)


def test_one_patient_is_refused(run, images):
    with pytest.raises(ValueError, match=r"fine-tuning needs two training patients at least.*: 1 patients"):
        run(of_patients(images, 1, 1), images.store_index_N)


def test_rows_that_all_differ_in_class_are_refused(run):
    training = LabelledImages(np.arange(3), np.array([0, 1, 3]), np.array(["p", "q", "r"]))
    with pytest.raises(ValueError, match=r"a class of two rows: 3 patients, 1 rows of the largest class"):
        run(training, np.arange(2))


def test_two_patients_are_enough(run):
    training = LabelledImages(np.arange(4), np.array([0, 0, 1, 1]), np.array(["p", "q", "p", "q"]))
    assert np.isfinite(run(training, np.arange(4), settings_of(num_epochs=1))).all()


def test_classes_of_fewer_rows_than_there_would_be_validation_folds_are_no_obstacle(run):
    training = LabelledImages(np.arange(9), np.arange(9) % 3, np.array([f"p{number}" for number in range(9)]))
    assert np.isfinite(run(training, np.arange(2), settings_of(num_epochs=1, validation_share=0.15))).all()


@given(
    counts=st.lists(st.integers(1, 4), min_size=2, max_size=12),
    num_classes=st.integers(2, 5),
    share=st.sampled_from([0.05, 0.15, 0.4, 0.5]),
    seed=st.integers(0, 99),
)
def test_whole_patients_are_held_out_and_some_are_left(counts, num_classes, share, seed):
    patient = np.repeat([f"p{number}" for number in range(len(counts))], counts)
    label = np.random.default_rng(seed).integers(0, num_classes, len(patient))
    data = LabelledImages(np.arange(len(patient)), label, patient)
    assume(np.bincount(label).max() > 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held_out = module._held_out(data, settings_of(validation_share=share), seed)
    assert held_out.any() and not held_out.all()
    assert not set(patient[held_out]) & set(patient[~held_out])


def test_class_weights_are_inverse_frequencies_of_mean_one_over_rows():
    weight = module._class_weights(np.array([0, 0, 0, 2]), 4, CPU)
    torch.testing.assert_close(weight, torch.tensor([2 / 3, 0.0, 2.0, 0.0]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_every_class_that_is_there_has_the_same_weight_in_all(labels):
    label = np.array(labels)
    weight = module._class_weights(label, 6, CPU).numpy()
    totals = np.bincount(label, minlength=6) * weight
    present = np.unique(label)
    np.testing.assert_allclose(totals[present], len(label) / len(present), rtol=1e-5)
    assert totals.sum() == pytest.approx(len(label), rel=1e-5)


def test_the_loss_to_stop_by_is_the_class_weighted_log_loss():
    score = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    loss = module._log_loss(score, np.array([0, 1, 1]), torch.tensor([1.0, 2.0]))
    assert loss == pytest.approx((math.log(2) + 2 * math.log(4 / 3) + 2 * math.log(1e6)) / 3)
