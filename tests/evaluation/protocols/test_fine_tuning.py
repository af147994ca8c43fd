"""Fine-tuning as a protocol: what is trained on what, and late fusion with metadata."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.protocols import fine_tuning
from slimp_pipeline.evaluation.protocols.fine_tuning import predict_fine_tuned
from slimp_pipeline.parameters import AugmentationParams, EvaluationParams, FineTuningParams

CLASSES = ["BCC", "MEL", "NEV"]
SCORES = [f"score.{name}" for name in CLASSES]
SETTINGS = EvaluationParams(
    device="cpu", seed=3, protocols=["linear_probe", "fine_tuning"], fine_tuning=FineTuningParams(num_epochs=2)
)
AUGMENTATION, STORE = AugmentationParams(flip=False), object()


def scores_of(start, store_index_N):
    """Scores that tell apart what an encoder started from and which image it saw."""
    rng = np.random.default_rng([len(start), *start.encode()])
    of_store_NK = rng.dirichlet(np.ones(3), size=500)
    return of_store_NK[store_index_N]


@pytest.fixture
def trained(monkeypatch):
    """Calls of the training function, which is replaced by a look-up; an encoder is a text."""
    calls = []

    def fine_tune(start, store, training, tested, num_classes, settings, augmentation, device, seed, label):
        assert (store, num_classes, settings, augmentation, seed) == (STORE, 3, SETTINGS.fine_tuning, AUGMENTATION, 3)
        calls.append((start, training, tested))
        return scores_of(start, tested)

    def initial(start, *, random_image_encoder):
        assert not random_image_encoder
        return f"what {start} started from"

    monkeypatch.setattr(fine_tuning, "fine_tune", fine_tune)
    monkeypatch.setattr(fine_tuning, "initial", initial)
    return calls


@pytest.fixture
def cohort(small_cohort):
    """The small cohort, its images in another order than its rows."""
    small_cohort.lesions["store_index"] = np.random.default_rng(0).permutation(500)[:120]
    small_cohort.lesions.loc[:1, "diagnosis"] = None
    return small_cohort


@pytest.fixture
def frozen(cohort):
    """Predictions of the metadata baseline, and of others that differ from it."""
    rows = cohort.lesions.dropna(subset="diagnosis").merge(cohort.splits[["image_id", "fold"]], on="image_id")
    tables = []
    sources = {"slimp": ("image", "linear_probe")}
    sources |= {"metadata_linear": ("metadata", "baseline"), "metadata_gbdt": ("metadata", "baseline")}
    for seed, (method, (features, protocol)) in enumerate(sources.items()):
        score_NK = np.random.default_rng(seed).dirichlet(np.ones(3), size=len(rows))
        of_rows = {
            "draw": rows["fold"].astype(str).replace("-1", "holdout"),
            "repeat": 0,
            "num_train_patients": 36,
            "image_id": rows["image_id"],
            "lesion_id": rows["lesion_id"],
            "patient_id": rows["patient_id"],
            "label": rows["diagnosis"],
            "label_malignant": rows["diagnosis"].ne("NEV").astype(int),
            "predicted": np.array(CLASSES)[score_NK.argmax(axis=1)],
        }
        key = {"method": method, "features": features, "protocol": protocol, "shots": "all"}
        tables.append(pd.DataFrame(of_rows | dict(zip(SCORES, score_NK.T, strict=True))).assign(**key))
    predictions = pd.concat(tables, ignore_index=True)
    return predictions[[*key, *of_rows, *SCORES]]


def predict(cohort, encoders, predictions, settings=SETTINGS):
    return predict_fine_tuned(cohort.target(encoders=encoders), STORE, predictions, AUGMENTATION, settings)


def test_where_it_is_not_asked_for_nothing_is_trained_and_there_are_no_rows(cohort, trained, frozen):
    settings = SETTINGS.model_copy(update={"protocols": ["linear_probe", "baselines"]})
    tuned = predict(cohort, {"slimp": {"all": "an encoder"}}, frozen, settings)
    assert tuned.empty and list(tuned) == list(frozen) and not trained
    pd.testing.assert_frame_equal(pd.concat([frozen, tuned], ignore_index=True), frozen)


def test_late_fusion_is_the_mean_with_the_scores_of_metadata_row_by_row(cohort, trained, frozen):
    shuffled = frozen.sample(frac=1, random_state=0)
    tuned = predict(cohort, {"slimp": {"all": "an encoder"}}, shuffled)
    linear = frozen[frozen["method"] == "metadata_linear"].set_index("image_id")
    assert not linear.index.duplicated().any()
    store_index = cohort.lesions.set_index("image_id")["store_index"]
    starts = {"slimp": "an encoder", "supervised": "what an encoder started from"}
    num_fused = 0
    for row in tuned.to_dict("records"):
        of_image = scores_of(starts[row["method"]], [store_index[row["image_id"]]])[0]
        expected = list(of_image)
        if row["features"] == "image+metadata":
            of_metadata = linear.loc[row["image_id"], SCORES]
            expected = [(one + other) / 2 for one, other in zip(of_image, of_metadata, strict=True)]
            num_fused += 1
        assert [row[name] for name in SCORES] == pytest.approx(expected)
        assert row["predicted"] == CLASSES[int(np.argmax(expected))]
        assert row["label"] == linear.loc[row["image_id"], "label"]
        assert row["draw"] == linear.loc[row["image_id"], "draw"]
    assert num_fused == 2 * 118 and len(tuned) == 4 * 118  # two rows have no label
    assert set(tuned["protocol"]) == {"fine_tune"} and set(tuned["shots"]) == {"all"}
    assert not tuned.duplicated(["method", "features", "image_id"]).any()
    assert list(tuned) == list(frozen)


def test_scores_of_other_baselines_and_probes_are_not_fused(cohort, trained, frozen):
    without = frozen[frozen["method"] != "metadata_linear"]
    tuned = predict(cohort, {"slimp": {"all": "an encoder"}}, without)
    assert set(tuned["features"]) == {"image"} and len(tuned) == 2 * 118


def test_every_partition_trains_on_its_own_training_rows_from_its_own_encoder(cohort, trained, frozen):
    encoders = {
        "slimp": {"fold_0": "a", "fold_1": "b", "fold_2": "c", "holdout": "d"},
        "slimp_adapted": {"fold_1": "adapted b"},
    }
    tuned = predict(cohort, encoders, frozen)
    rows = cohort.lesions.merge(cohort.splits, on=["image_id", "patient_id"]).dropna(subset="diagnosis")
    expected = [
        (fold, start)
        for fold, starts in [
            (0, ["a", "what a started from"]),
            (1, ["b", "adapted b", "what b started from"]),
            (2, ["c", "what c started from"]),
            (-1, ["d", "what d started from"]),
        ]
        for start in starts
    ]
    assert [start for start, _, _ in trained] == [start for _, start in expected]
    for (fold, _), (_, training, tested) in zip(expected, trained, strict=True):
        train, test = rows[~rows["fold"].isin([fold, -1])], rows[rows["fold"] == fold]
        assert training.store_index_N.tolist() == train["store_index"].tolist()
        assert training.label_N.tolist() == train["diagnosis"].map(CLASSES.index).tolist()
        assert training.patient_N.tolist() == train["patient_id"].tolist()
        assert tested.tolist() == test["store_index"].tolist()
        assert not set(training.store_index_N) & set(tested)
    draws = tuned.groupby("method")["draw"].agg(set).to_dict()
    every = {"0", "1", "2", "holdout"}
    assert draws == {"slimp": every, "supervised": every, "slimp_adapted": {"1"}}
    sizes = tuned.groupby("draw")["num_train_patients"].unique().map(list).to_dict()
    assert sizes == {"0": [36], "1": [35], "2": [35], "holdout": [53]}  # p00, of fold 0, has no label
