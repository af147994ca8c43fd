"""Pre-training of partitions."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.target import result_name
from slimp_pipeline.models.checkpoint import read_checkpoint, write_checkpoint
from slimp_pipeline.models.model_card import model_card
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import EvaluationParams, FeatureParams, LossParams, SamplerParams
from slimp_pipeline.tables.encoding import CategoricalEncoding, Encoding, LevelEncoding, fit_encoding
from slimp_pipeline.tables.splits import ALL
from slimp_pipeline.training import pretrain
from slimp_pipeline.training.pretrain import (
    Cohort,
    check_contrast,
    pretrain_partition,
    pretrain_partitions,
)


def silent(*_args) -> None:
    pass


@pytest.fixture
def cohort(tiny) -> Cohort:
    encodings = {ALL: tiny.encoding, "fold_0": tiny.encoding, "fold_1": tiny.encoding}
    return Cohort("clinic", "abc123", tiny.lesions, tiny.patients, encodings)


def rows_of(lesions: pd.DataFrame, name: str = ALL) -> pd.DataFrame:
    return lesions[["image_id", "patient_id"]].assign(partition=name)


def test_each_partition_gives_a_checkpoint_a_history_and_reports_under_its_name(
    cohort, tiny, model_settings, make_settings
):
    reported = []
    rows = pd.concat([rows_of(tiny.lesions.iloc[:20], "fold_0"), rows_of(tiny.lesions.iloc[5:], "fold_1")])
    settings = make_settings(
        num_epochs=2, validation_share=0.3, sampler=SamplerParams(patients_per_batch=4, malignant_first_share=0.25)
    )
    checkpoints, history = pretrain_partitions(
        cohort, tiny.store, rows, model_settings, settings, None, lambda *values: reported.append(values)
    )
    assert list(checkpoints) == ["fold_0", "fold_1"]
    assert list(history) == ["partition", "step", "epoch", "name", "value"]
    assert set(history["partition"]) == {name for name, _, _ in reported} == {"fold_0", "fold_1"}
    facts = checkpoints["fold_0"].facts
    assert facts["num_training_images"] == 20
    assert facts["num_training_patients"] == tiny.lesions.iloc[:20]["patient_id"].nunique()
    assert (facts["cohort"], facts["partition"], facts["cohort_fingerprint"]) == ("clinic", "fold_0", "abc123")
    assert facts["positive_sampling"] is True
    assert facts["training"] == settings.model_dump(mode="json")
    SLIMP(model_settings, settings.loss, tiny.encoding).load_state_dict(checkpoints["fold_0"].state)


def test_pre_training_reads_the_training_rows_of_its_partition_alone(
    cohort, tiny, model_settings, make_settings, monkeypatch
):
    seen = {}
    plain = pretrain.train

    def spy(task, report):
        seen["training"], seen["validation"] = task.training.store_index_N, task.validation.store_index_N
        return plain(task, report)

    monkeypatch.setattr(pretrain, "train", spy)
    own = tiny.lesions[tiny.lesions["patient_id"] < "p009"]
    settings = make_settings(num_epochs=1, validation_share=0.3)
    pretrain_partitions(cohort, tiny.store, rows_of(own), model_settings, settings, None, silent)
    patient = tiny.lesions.set_index("store_index")["patient_id"]
    training, validation = (set(patient[seen[part]]) for part in ("training", "validation"))
    assert not training & validation
    assert training | validation == set(own["patient_id"])


def test_a_small_cohort_beside_a_large_one_is_trained_on_whatever_is_held_out(
    cohort, tiny, model_settings, make_settings
):
    small = tiny.lesions["patient_id"].isin(["p000", "p001", "p002"])
    several = dataclasses.replace(cohort, lesions=tiny.lesions.assign(cohort=np.where(small, "small", "large")))
    sampler = SamplerParams(patients_per_batch=4, cohort_weights={"small": 2.0})
    for seed in range(4):
        settings = make_settings(num_steps=1, validation_share=0.4, seed=seed, sampler=sampler)
        checkpoints, _ = pretrain_partitions(
            several, tiny.store, rows_of(tiny.lesions), model_settings, settings, None, silent
        )
        assert checkpoints[ALL].facts["cohorts"]["small"]["num_patients"] == 3


def test_a_cohort_without_images_is_a_clear_error(cohort, tiny, model_settings, make_settings):
    tables_alone = tiny.lesions.assign(store_index=pd.array([None] * len(tiny.lesions), dtype="Int64"))
    without = Cohort("clinic", "abc123", tables_alone, tiny.patients, cohort.encodings)
    with pytest.raises(ValueError, match="cohort clinic has no row with an image: pre-training needs images"):
        pretrain_partitions(without, tiny.store, rows_of(tables_alone), model_settings, make_settings(), None, silent)


def test_a_control_trains_on_strangers_metadata_and_says_so(cohort, tiny, model_settings, make_settings, caplog):
    def trained(**changes):
        settings = make_settings(num_epochs=1, **changes)
        rows = tiny.lesions[["image_id", "patient_id"]]
        return pretrain_partition(cohort, tiny.store, "all", rows, model_settings, settings, None, lambda *_: None)[0]

    own, control = trained(), trained(shuffled_metadata=True)
    assert not own.facts["shuffled_metadata"] and control.facts["shuffled_metadata"]
    assert "what is trained is a control" in caplog.text
    assert any(not torch.equal(own.state[name], control.state[name]) for name in own.state)
    names = [
        result_name("clinic", {"slimp": {"all": one}}, FeatureParams(), EvaluationParams()) for one in (own, control)
    ]
    assert names == ["clinic", "clinic (pre-trained on shuffled metadata: a control)"]
    card = model_card(model_settings.image_encoder, control.encoding, control.facts)
    assert "**A control**: every patient had another's metadata." in card and "innermost" not in card
    swapped = control.encoding.model_copy(update={"swapped_levels": True})
    assert "**A control**: the innermost level's fields" in model_card(model_settings.image_encoder, swapped, own.facts)


def test_image_views_beside_metadata_are_trained_kept_and_loaded(cohort, tiny, model_settings, make_settings, tmp_path):
    settings = make_settings(num_epochs=1, loss=LossParams(objective="slimp", views_weight=0.5))
    rows = tiny.lesions[["image_id", "patient_id"]]
    checkpoint, history = pretrain_partition(cohort, tiny.store, "all", rows, model_settings, settings, None, silent)
    assert {"loss", "loss_lesion", "loss_patient", "loss_views"} <= set(history["name"])
    write_checkpoint(checkpoint, tmp_path / "encoder")
    encoder = PretrainedSLIMP(read_checkpoint(tmp_path / "encoder"))
    image_ND = np.random.default_rng(0).normal(size=(4, 32)).astype("float32")
    assert set(encoder.contrast(image_ND, tiny.lesions[:4])) >= {"lesion", "patient"}


def test_a_nuisance_is_suppressed_in_training_and_its_encoding_is_kept(cohort, tiny, model_settings, make_settings):
    nuisance = {"region": FieldSpec(kind="categorical", level="lesion", column="r", nuisance=True)}
    lesions = tiny.lesions.assign(region=np.where(np.arange(len(tiny.lesions)) % 3 < 1, "north", "south"))
    suppressed = fit_encoding(lesions, tiny.patients, {}, nuisance).nuisance
    encoding = tiny.encoding.model_copy(update={"nuisance": suppressed})
    own = dataclasses.replace(cohort, lesions=lesions, encodings={ALL: encoding})
    rows = lesions[["image_id", "patient_id"]]

    def trained(weight, of=own):
        settings = make_settings(num_epochs=1, loss=LossParams(nuisance_weight=weight))
        return pretrain_partition(of, tiny.store, ALL, rows, model_settings, settings, None, silent)

    checkpoint, history = trained(5.0)
    shares = history.loc[history["name"] == "loss_nuisance", "value"]
    assert len(shares) and shares.between(0, 1).all()
    assert list(checkpoint.encoding.nuisance.fields) == ["region"]
    total = history.pivot_table(index="step", columns="name", values="value").dropna(subset="loss_nuisance")
    parts = 0.5 * total["loss_lesion"] + 0.5 * total["loss_patient"] + 5.0 * total["loss_nuisance"]
    assert parts.to_numpy() == pytest.approx(total["loss"].to_numpy(), rel=1e-4)
    plain, plain_history = trained(0.0)
    assert "loss_nuisance" not in set(plain_history["name"])
    assert any(not torch.equal(plain.state[name], checkpoint.state[name]) for name in plain.state)
    with pytest.raises(ValueError, match="calls no field a nuisance"):
        trained(5.0, cohort)


def test_first_weights_depend_on_the_seed_alone(cohort, tiny, model_settings, make_settings):
    weights = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        checkpoints, _ = pretrain_partitions(
            cohort, tiny.store, rows_of(tiny.lesions), model_settings, make_settings(num_epochs=1), None, silent
        )
        weights.append(checkpoints[ALL].state)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_same_settings_resume_and_changed_ones_start_anew(cohort, tiny, model_settings, make_settings, tmp_path):
    class Killed(BaseException):
        pass

    def kill(_partition, step, _values):
        if step >= 4:
            raise Killed

    def steps(report, **changes):
        settings = make_settings(validation_share=0.0, **changes)
        rows = rows_of(tiny.lesions)
        return pretrain_partitions(cohort, tiny.store, rows, model_settings, settings, tmp_path, report)

    with pytest.raises(Killed):
        steps(kill)
    resumed, fresh = [], []
    steps(lambda _partition, step, _values: resumed.append(step))
    assert len(list(tmp_path.glob("[!.]*"))) == 1
    steps(lambda _partition, step, _values: fresh.append(step), learning_rate=1e-3)
    assert min(resumed) > min(fresh) == 1
    assert len(list(tmp_path.glob("[!.]*"))) == 2


EMPTY = LevelEncoding(fields={})
FULL = LevelEncoding(fields={"site": CategoricalEncoding(categories=["arm"])})


@pytest.mark.parametrize(
    ("objective", "lesion", "patient"),
    [
        ("slimp", EMPTY, EMPTY),
        ("flat", EMPTY, EMPTY),
        ("inner_only", EMPTY, FULL),
        ("outer_only", FULL, EMPTY),
    ],
)
def test_an_objective_that_has_nothing_to_contrast_images_with_is_refused(objective, lesion, patient):
    encoding = Encoding(lesion=lesion, patient=patient, num_patients=3)
    with pytest.raises(ValueError, match=rf"cohort clinic has no metadata fields .*'{objective}'.* to simclr"):
        check_contrast("clinic", encoding, objective)


def test_one_level_without_fields_is_said_and_images_alone_are_enough_for_simclr(caplog):
    with caplog.at_level("INFO", logger="slimp_pipeline"):
        check_contrast("clinic", Encoding(lesion=FULL, patient=EMPTY, num_patients=3), "slimp")
        assert "no metadata fields of the level patient" in caplog.text
        check_contrast("clinic", Encoding(lesion=EMPTY, patient=EMPTY, num_patients=3), "simclr")


@pytest.mark.parametrize(("changes", "same"), [({"num_workers": 1}, True), ({"images_per_pass": 5}, False)])
def test_what_changes_weights_by_rounding_alone_is_another_run(
    cohort, tiny, model_settings, make_settings, changes, same
):
    keys = []
    for settings in (make_settings(num_steps=1), make_settings(num_steps=1, **changes)):
        checkpoints, _ = pretrain_partitions(
            cohort, tiny.store, rows_of(tiny.lesions), model_settings, settings, None, silent
        )
        keys.append(checkpoints[ALL].facts["run"])
    assert (keys[0] == keys[1]) == same
