"""Continual pre-training on a target whose fields are not the source's."""

import logging
import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP, image_weights
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import AdaptationParams, LossParams, Objective
from slimp_pipeline.tables.encoding import fit_encoding
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.training import loop
from slimp_pipeline.training.adapt import (
    adapt_partitions,
    describe_trained,
    select_trained,
    start_from,
    why_not_adapted,
)
from slimp_pipeline.training.pretrain import Cohort

VIT = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
CONVNET = {"name": "tf_efficientnet_lite0", "arguments": None}
MODES = ["embeddings", "last_blocks", "all", "lora"]
TARGET_FIELDS = {
    "depth_mm": FieldSpec(kind="numeric", level="lesion", column="d"),
    "elevation_mm": FieldSpec(kind="numeric", level="lesion", column="e"),
    "region": FieldSpec(kind="categorical", level="lesion", column="r"),
    "symptom": FieldSpec(kind="checkbox", level="lesion", options={"itch": "i", "bleed": "b"}),
    "skin_tone": FieldSpec(kind="categorical", level="patient", column="t"),
}
LAMP = {"kind": "categorical", "level": "image", "column": "l", "nuisance": True}
ALWAYS = (  # what trains in every mode
    "lesion_encoder.tokenizer.",
    "patient_encoder.tokenizer.",
    "lesion_encoder.nothing_known",
    "patient_encoder.nothing_known",
    "objective.",
    "reconstructions.",
)
TRAINED = {
    "embeddings": (*ALWAYS, "image_encoder.cls_token", "image_encoder.pos_embed", "image_encoder.patch_embed."),
    "last_blocks": (*ALWAYS, "image_encoder.blocks.1.", "image_encoder.norm."),
    "all": ("",),
    "lora": (
        *ALWAYS,
        "image_encoder.patch_embed.proj.weight",
        *(
            f"image_encoder.blocks.{block}.{layer}.weight"
            for block in (0, 1)
            for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
        ),
    ),
}
CONSTANT = (".offsets", ".membership")  # buffers of the tokenizers: no weights


def silent(*_args) -> None:
    pass


@pytest.fixture(scope="module")
def target(tiny) -> Cohort:
    """Other fields with other vocabularies; of one lesion and of one patient nothing is known."""
    rows = tiny.lesions[["image_id", "lesion_id", "patient_id", "malignant", "store_index"]].copy()
    rows["depth_mm"] = tiny.lesions["diameter_mm"] / 10
    rows["elevation_mm"] = np.arange(len(rows)) % 3.0
    rows["region"] = tiny.lesions["site"].map({"arm": "limb", "leg": "limb", "back": "trunk", "face": "head"})
    rows["symptom.itch"] = np.where(np.arange(len(rows)) % 2, "true", "false")
    rows["symptom.bleed"] = np.where(np.arange(len(rows)) % 5, "false", "true")
    rows["skin_tone"] = rows["patient_id"].str[-1].map(lambda digit: "light" if digit in "02468" else "dark")
    first = rows["lesion_id"] == rows.loc[rows["patient_id"] == "p003", "lesion_id"].iloc[0]
    rows.loc[first, ["depth_mm", "elevation_mm", "region", "symptom.itch", "symptom.bleed"]] = None
    rows.loc[rows["patient_id"] == "p003", "skin_tone"] = None
    patients, _ = build_patients(rows, TARGET_FIELDS)
    encoding = fit_encoding(rows, patients, TARGET_FIELDS)
    return Cohort("target", "def456", rows, patients, {"fold_0": encoding, "fold_1": encoding})


@pytest.fixture(scope="module")
def make_source(tiny, model_settings):
    """A pre-trained encoder, as random as can be: no weight has a value that new ones have."""

    def make(loss: LossParams | None = None, field_dropout: float = 0.0, **image_encoder) -> Checkpoint:
        torch.manual_seed(77)
        loss = loss or LossParams()
        image = model_settings.image_encoder.model_copy(update={"arguments": VIT} | image_encoder)
        metadata = model_settings.metadata_encoder.model_copy(update={"field_dropout": field_dropout})
        settings = model_settings.model_copy(update={"image_encoder": image, "metadata_encoder": metadata})
        state = SLIMP(settings, loss, tiny.encoding).state_dict()
        for name, value in state.items():
            if value.is_floating_point() and "running_var" not in name:
                value += 0.01 * torch.randn_like(value)
        return Checkpoint(state, settings, loss, tiny.encoding, {"cohort": "clinic", "partition": "all"})

    return make


@pytest.fixture(scope="module")
def source(make_source) -> Checkpoint:
    return make_source()


@pytest.fixture
def adapt(tiny, target, make_settings):
    """Adapt on one partition, all its patients; two epochs of three steps, unless changed."""

    def adapted(source, trained="embeddings", folder=None, report=silent, cohort=target, rows=None, **changes):
        named = {key: changes.pop(key) for key in AdaptationParams.model_fields if key in changes}
        adaptation = AdaptationParams(**({"trained": trained, "num_epochs": 2, "learning_rate": 3e-3} | named))
        rows = rows_of(cohort) if rows is None else rows
        settings = make_settings(**({"validation_share": 0.0} | changes))
        return adapt_partitions(cohort, tiny.store, rows, source, adaptation, settings, folder, report)

    return adapted


def rows_of(cohort: Cohort, first: str = "p000", last: str = "p999", partition: str = "fold_0") -> pd.DataFrame:
    own = cohort.lesions[cohort.lesions["patient_id"].between(first, last)]
    return own[["image_id", "patient_id"]].assign(partition=partition)


def start_of(source: Checkpoint, cohort: Cohort, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return start_from(source, cohort.encodings["fold_0"]).state_dict()


def weights_of(state: dict[str, torch.Tensor]) -> list[str]:
    """Names of what could be trained: a tokenizer without fields of a kind has tensors without elements."""
    return [name for name, value in state.items() if value.numel() and not name.endswith(CONSTANT)]


def changed_names(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return not changed_names(first, second)


@pytest.mark.parametrize("trained", MODES)
def test_what_is_frozen_stays_bit_identical_and_all_else_changes(adapt, source, target, trained):
    start = start_of(source, target)
    checkpoints, _ = adapt(source, trained)
    expected = {name for name in weights_of(start) if name.startswith(TRAINED[trained])}
    assert changed_names(start, checkpoints["fold_0"].state) == expected


@pytest.mark.parametrize("of_several", [{"cohort_weights": {"slice3d": 2.0}}, {"mixed_cohorts": True}])
def test_how_several_source_cohorts_are_drawn_is_nothing_to_the_one_that_is_adapted_to(
    adapt, source, make_settings, of_several
):
    sampler = make_settings().sampler
    plain, _ = adapt(source, sampler=sampler)
    adapted, _ = adapt(source, sampler=sampler.model_copy(update=of_several))
    assert same_weights(plain["fold_0"].state, adapted["fold_0"].state)
    assert adapted["fold_0"].facts["run"] == plain["fold_0"].facts["run"]  # the same run, were it to be resumed


def test_a_nuisance_of_the_target_that_tells_its_diagnosis_is_refused_and_to_have_none_is_said(
    adapt, make_source, target, caplog
):
    source, lamp = make_source(LossParams(nuisance_weight=1.0)), {"lamp": FieldSpec.model_validate(LAMP)}
    rows = target.lesions.assign(lamp=np.where(np.arange(len(target.lesions)) % 2, "warm", "cold"))

    def with_lamp(diagnosis):
        told = rows.assign(diagnosis=diagnosis)
        encoding = fit_encoding(told, target.patients, TARGET_FIELDS, lamp)
        return replace(target, lesions=told, encodings={"fold_0": encoding})

    with pytest.raises(ValueError, match="cohort target: the nuisance field 'lamp' tells the diagnosis"):
        adapt(source, cohort=with_lamp(rows["lamp"]), num_epochs=1)
    _, history = adapt(source, cohort=with_lamp("nevus"), num_epochs=1)
    assert "loss_nuisance" in set(history["name"]) and "nuisance fields" not in caplog.text
    with caplog.at_level("INFO", logger="slimp_pipeline"):
        adapt(source, num_epochs=1)
    assert "target has no nuisance fields: none are suppressed" in caplog.text


@pytest.mark.parametrize("trained", ["embeddings", "last_blocks", "lora"])
def test_attention_layers_of_the_metadata_encoders_are_frozen(adapt, source, trained):
    checkpoints, _ = adapt(source, trained)
    layers = {name: value for name, value in source.state.items() if "_encoder.layers." in name}
    assert len(layers) == 2 * 12
    assert all(torch.equal(value, checkpoints["fold_0"].state[name]) for name, value in layers.items())


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        ("embeddings", {"conv_stem", "bn1"}),
        ("last_blocks", {"blocks.6", "conv_head", "bn2"}),
    ],
)
def test_frozen_stages_of_a_convolutional_network_keep_weights_and_statistics(adapt, make_source, trained, expected):
    source = make_source(**CONVNET)
    checkpoints, _ = adapt(source, trained, num_epochs=1)
    state = checkpoints["fold_0"].state
    image = {name for name in source.state if name.startswith("image_encoder.")}
    changed = {name for name in image if not torch.equal(source.state[name], state[name])}
    prefixes = tuple(f"image_encoder.{part}." for part in expected)
    assert changed == {name for name in image if name.startswith(prefixes)}
    assert any("running_mean" in name for name in changed)


def test_low_rank_updates_of_a_convolutional_network_leave_depthwise_layers_and_batch_norm(adapt, make_source):
    source = make_source(**CONVNET)
    checkpoints, _ = adapt(source, "lora", num_epochs=1, lora_rank=2)
    encoder = timm.create_model(CONVNET["name"], num_classes=0)
    dense = {
        f"image_encoder.{name}.weight"
        for name, module in encoder.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.groups == 1
    }
    image = {name for name in source.state if name.startswith("image_encoder.")}
    state = checkpoints["fold_0"].state
    assert {name for name in image if not torch.equal(source.state[name], state[name])} == dense


def test_an_update_has_no_higher_rank_than_asked_for(adapt, source):
    checkpoints, _ = adapt(source, "lora", lora_rank=2)
    name = "image_encoder.blocks.0.mlp.fc1.weight"
    difference = checkpoints["fold_0"].state[name].double() - source.state[name].double()
    singular = torch.linalg.svdvals(difference)
    assert singular[1] > 1e-5
    assert singular[2] < 1e-3 * singular[0]


def test_tokenizers_are_new_and_shaped_by_the_targets_fields_and_all_else_is_as_it_was_trained(source, target):
    start = start_of(source, target)
    shapes = {name: tuple(value.shape) for name, value in start.items()}
    assert shapes["lesion_encoder.tokenizer.numeric_out"] == (2, 32, 16)  # depth and elevation
    assert shapes["lesion_encoder.tokenizer.categories.weight"] == (3 + 2, 16)  # head, limb, trunk; missing, unseen
    assert shapes["lesion_encoder.tokenizer.options"] == (2, 16)
    assert shapes["patient_encoder.tokenizer.numeric_out"] == (0, 32, 16)
    assert shapes["patient_encoder.tokenizer.categories.weight"] == (2 + 2, 16)
    kept = {name: value for name, value in source.state.items() if ".tokenizer." not in name}
    assert {name for name in start if ".tokenizer." not in name} == kept.keys()
    assert any(name.startswith("objective.") and name.endswith("temperature.log") for name in kept)
    assert all(torch.equal(value, start[name]) for name, value in kept.items())


def test_tokenizers_are_new_even_for_fields_of_the_same_name(source, tiny):
    torch.manual_seed(0)
    start = start_from(source, tiny.encoding).state_dict()
    changed = changed_names(source.state, start)
    assert changed == {name for name in weights_of(start) if ".tokenizer." in name}


def test_weights_of_another_architecture_are_refused(source, tiny):
    state = dict(source.state)
    state["image_encoder.norm.weight"] = torch.ones(7)
    with pytest.raises(ValueError, match=r"don't fit the network .*image_encoder\.norm\.weight \(7,\), needed"):
        start_from(replace(source, state=state), tiny.encoding)


def test_the_source_is_left_as_it_was(adapt, source):
    before = {name: value.clone() for name, value in source.state.items()}
    adapt(source, "all")
    assert same_weights(before, source.state)


@pytest.mark.parametrize("trained", MODES)
@pytest.mark.parametrize("kill_at", [1, 4])
def test_a_run_killed_and_gone_on_with_ends_in_the_very_same_weights(adapt, source, tmp_path, trained, kill_at):
    class Killed(BaseException):
        pass

    def kill(_partition, step, _values):
        if step >= kill_at:
            raise Killed

    whole, whole_history = adapt(source, trained)
    with pytest.raises(Killed):
        adapt(source, trained, tmp_path, kill)
    steps = []
    torch.manual_seed(kill_at)
    resumed, history = adapt(source, trained, tmp_path, lambda _partition, step, _values: steps.append(step))
    assert steps[0] == {1: 1, 4: 3}[kill_at]  # kept every two steps
    assert same_weights(whole["fold_0"].state, resumed["fold_0"].state)
    pd.testing.assert_frame_equal(history, whole_history)


def test_what_was_trained_otherwise_is_not_gone_on_with(adapt, source, make_source, tmp_path):
    def first_step(*args, **changes) -> int | None:
        steps = []
        adapt(*args, folder=tmp_path, report=lambda _partition, step, _values: steps.append(step), **changes)
        return steps[0] if steps else None

    assert first_step(source, "embeddings") == 1
    assert first_step(source, "embeddings") is None
    other = make_source()
    other.state["image_encoder.norm.bias"] += 1
    assert first_step(other, "embeddings") == 1
    assert first_step(source, "last_blocks") == 1
    assert first_step(source, "last_blocks", num_blocks=2) == 1
    assert first_step(source, "lora", lora_rank=2) == 1
    assert first_step(source, "lora", lora_rank=3) == 1
    assert first_step(source, "lora", lora_rank=3, learning_rate=1e-4) == 1
    assert first_step(source, "lora", lora_rank=3, learning_rate=1e-4) is None


def test_every_partition_starts_from_the_source_and_trains_on_its_own_rows(adapt, source, target):
    both = pd.concat([rows_of(target, "p000", "p007"), rows_of(target, "p004", "p011", "fold_1")])
    reported = []
    together, history = adapt(source, rows=both, report=lambda *values: reported.append(values))
    assert list(together) == ["fold_0", "fold_1"]
    assert set(history["partition"]) == {"fold_0", "fold_1"}
    assert {name for name, _, _ in reported} == {"adapted_fold_0", "adapted_fold_1"}
    alone, _ = adapt(source, rows=both[both["partition"] == "fold_1"])
    assert same_weights(together["fold_1"].state, alone["fold_1"].state)
    assert not same_weights(together["fold_0"].state, together["fold_1"].state)


def test_rows_that_are_not_trained_on_have_no_influence(adapt, source, target):
    other = target.lesions["patient_id"] > "p007"
    lesions = target.lesions.assign(
        store_index=target.lesions["store_index"].mask(other, 0),
        depth_mm=target.lesions["depth_mm"].mask(other, 99.0),
        malignant=target.lesions["malignant"].mask(other, True),
    )
    patients = target.patients.assign(
        skin_tone=target.patients["skin_tone"].mask(target.patients["patient_id"] > "p007", "dark")
    )
    changed = Cohort(target.name, target.fingerprint, lesions, patients, target.encodings)
    weights = [
        adapt(source, "all", cohort=cohort, rows=rows_of(target, "p000", "p007"))[0]["fold_0"].state
        for cohort in (target, changed)
    ]
    assert same_weights(*weights)


@pytest.mark.parametrize("objective", get_args(Objective))
def test_a_source_of_any_objective_is_adapted_with_it(adapt, make_source, target, objective):
    source = make_source(LossParams(objective=objective, temperature=0.2))
    checkpoints, history = adapt(source, validation_share=0.3)
    adapted = checkpoints["fold_0"]
    assert adapted.loss == source.loss
    assert adapted.facts["training"]["loss"] == source.loss.model_dump(mode="json")
    start = start_of(source, target)
    changed = changed_names(start, adapted.state)
    heads = {name for name in start if name.startswith("objective.")}
    assert heads
    assert heads <= changed
    terms = {"flat": {"flat"}, "inner_only": {"lesion"}, "outer_only": {"patient"}, "simclr": {"views"}}
    expected = terms.get(objective, {"lesion", "patient"})
    assert {f"loss_{term}" for term in expected} | {"loss"} == {n for n in history["name"] if n.startswith("loss")}
    contrasts = PretrainedSLIMP(adapted).contrast(np.zeros((5, 32), dtype=np.float32), target.lesions.iloc[:5])
    assert contrasts.keys() == expected


def test_heads_that_reconstruct_hidden_fields_are_new_and_train(adapt, make_source, target):
    source = make_source(LossParams(reconstruction_weight=0.5), field_dropout=0.4)
    start = start_of(source, target)
    heads = {name for name in start if name.startswith("reconstructions.")}
    widths = {name.split(".")[1]: start[name].shape[0] for name in heads}
    assert widths == {"lesion": 2 + 3 + 2, "patient": 2}  # numbers, categories, options
    checkpoints, history = adapt(source)
    assert heads <= changed_names(start, checkpoints["fold_0"].state)
    assert history.loc[history["name"] == "loss_reconstruction", "value"].gt(0).all()
    assert PretrainedSLIMP(checkpoints["fold_0"]).encode_patients(target.patients).shape == (12, 16)


@pytest.mark.parametrize("kept", [["region"], ["skin_tone"], []])
def test_a_target_without_fields_of_a_level_is_adapted_to(adapt, make_source, target, kept):
    fields = {name: TARGET_FIELDS[name] for name in kept}
    encoding = fit_encoding(target.lesions, target.patients, fields)
    bare = Cohort("bare", "0", target.lesions, target.patients, {"fold_0": encoding})
    checkpoints, history = adapt(make_source(LossParams(objective="slimp" if kept else "simclr")), cohort=bare)
    assert history["value"].map(math.isfinite).all()
    metadata = PretrainedSLIMP(checkpoints["fold_0"]).encode_metadata(target.lesions)
    assert (np.ptp(metadata, axis=0).max() > 0) == ("region" in kept)


@pytest.mark.parametrize("trained", MODES)
def test_an_adapted_checkpoint_is_like_any_other(adapt, source, tiny, target, tmp_path, trained):
    checkpoints, _ = adapt(source, trained)
    adapted = checkpoints["fold_0"]
    plain = SLIMP(source.model, source.loss, target.encodings["fold_0"]).state_dict()
    assert {name: value.shape for name, value in adapted.state.items()} == {n: v.shape for n, v in plain.items()}
    assert not any(value.requires_grad for value in adapted.state.values())
    write_checkpoint(adapted, tmp_path / "adapted")
    read = read_checkpoint(tmp_path / "adapted")
    assert same_weights(read.state, adapted.state)
    assert (read.model, read.loss, read.encoding) == (source.model, source.loss, target.encodings["fold_0"])
    assert read.facts == adapted.facts
    metadata = PretrainedSLIMP(read).encode_metadata(target.lesions)
    np.testing.assert_array_equal(metadata, PretrainedSLIMP(adapted).encode_metadata(target.lesions))
    encoder = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=16, **VIT)
    encoder.load_state_dict(image_weights(tmp_path / "adapted"), strict=True)


def test_merged_weights_of_the_best_epoch_are_those_that_were_measured(adapt, source, monkeypatch):
    measured, losses = [], [2.0, 1.0, 3.0]

    def validate(model, *_args):
        weights = {
            name: module.weight.detach().clone()
            for name, module in model.image_encoder.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        measured.append(weights)
        return {"validation_loss": losses[len(measured) - 1]}

    monkeypatch.setattr(loop, "validate", validate)
    checkpoints, _ = adapt(source, "lora", num_epochs=3, validation_share=0.3, patience_epochs=1)
    assert len(measured) == 3
    state = checkpoints["fold_0"].state
    for name, weight in measured[1].items():
        assert torch.equal(state[f"image_encoder.{name}.weight"], weight)
        assert not torch.equal(weight, measured[2][name])


def test_facts_name_the_target_what_trained_and_the_source(adapt, source, target):
    checkpoints, history = adapt(
        source, "last_blocks", image_learning_rate=None, rows=rows_of(target, last="p005"), num_epochs=3, seed=4
    )
    facts = checkpoints["fold_0"].facts
    assert (facts["cohort"], facts["adapted_to"], facts["cohort_fingerprint"]) == ("target", "target", "def456")
    assert facts["num_training_patients"] == 6
    assert facts["adaptation"] == AdaptationParams(trained="last_blocks", num_epochs=3, learning_rate=3e-3).model_dump(
        mode="json"
    )
    assert facts["source"] == {"cohort": "clinic", "partition": "all"}
    assert facts["training"]["num_epochs"] == history["epoch"].max() == 3
    assert facts["training"]["seed"] == 4


def test_rates_and_epochs_are_the_adaptations_own(adapt, source):
    checkpoints, history = adapt(source, learning_rate=2e-3, num_epochs=4, image_learning_rate=None, warmup_share=0.0)
    training = checkpoints["fold_0"].facts["training"]
    assert (training["learning_rate"], training["image_learning_rate"], training["num_epochs"]) == (2e-3, None, 4)
    assert history.loc[history["name"] == "learning_rate", "value"].max() == pytest.approx(2e-3)


def model_of(source: Checkpoint, target: Cohort, **adaptation) -> SLIMP:
    model = start_from(source, target.encodings["fold_0"])
    select_trained(model, AdaptationParams(**adaptation))
    return model


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_the_last_blocks_are_counted_from_the_end(source, target, num_blocks):
    model = model_of(source, target, trained="last_blocks", num_blocks=num_blocks)
    trains = {".".join(name.split(".")[:2]) for name, p in model.image_encoder.named_parameters() if p.requires_grad}
    expected = {"blocks.1", "norm.weight", "norm.bias"}
    expected |= {"blocks.0"} if num_blocks >= 2 else set()
    expected |= {"cls_token", "pos_embed", "patch_embed.proj"} if num_blocks >= 3 else set()
    assert trains == expected


def test_more_blocks_than_there_are_is_an_error(source, target):
    with pytest.raises(ValueError, match=r"adaptation\.num_blocks 4: the backbone has 3 stages"):
        model_of(source, target, trained="last_blocks", num_blocks=4)


@pytest.mark.parametrize("trained", MODES)
def test_stages_frozen_in_pre_training_do_not_decide_what_adapts(make_source, source, target, trained):
    frozen = make_source(num_trained_stages=0)
    sets = [
        {name for name, p in model_of(each, target, trained=trained).named_parameters() if p.requires_grad}
        for each in (source, frozen)
    ]
    assert sets[0] == sets[1]


# Widths of the tiny model: patches of 8 x 8 x 3 = 192 numbers, image 32, metadata 16, projection 8.
IMAGE_EMBEDDING = 32 + 5 * 32 + (192 * 32 + 32)
IMAGE_BLOCK = 2 * 64 + (32 * 96 + 96) + (32 * 32 + 32) + (32 * 128 + 128) + (128 * 32 + 32)
IMAGE = IMAGE_EMBEDDING + 2 * IMAGE_BLOCK + 64
LAYER = (16 * 48 + 48) + (16 * 16 + 16) + (16 * 64 + 64) + (64 * 16 + 16) + 2 * 32
LESION_NEW = 2 * (32 + 32 + 32 * 16 + 16) + 5 * 16 + 2 * 16 + 16 + 16  # numbers, categories, options, group, nothing
PATIENT_NEW = 4 * 16 + 16
HEADS = sum(2 * width + (width * 8 + 8) + (8 * 8 + 8) for width in (32, 16, 48, 16)) + 2
UPDATE = 4 * ((192 + 32) + 2 * ((32 + 96) + (32 + 32) + 2 * (32 + 128)))  # rank 4


@pytest.mark.parametrize(
    ("trained", "image", "of_image", "groups"),
    [
        ("embeddings", IMAGE_EMBEDDING, IMAGE, " (cls_token, pos_embed, patch_embed)"),
        ("last_blocks", IMAGE_BLOCK + 64, IMAGE, " (blocks, norm)"),
        ("lora", UPDATE, IMAGE + UPDATE, " (patch_embed, blocks)"),
    ],
)
def test_what_trains_is_counted_part_by_part(source, target, trained, image, of_image, groups):
    text = describe_trained(model_of(source, target, trained=trained, lora_rank=4))
    own = " (nothing_known, tokenizer)"
    assert text.splitlines() == [
        "Adaptation trains:",
        f"  image_encoder    {image:>10,} of {of_image:>10,} parameters{groups}",
        f"  lesion_encoder   {LESION_NEW:>10,} of {LESION_NEW + LAYER:>10,} parameters{own}",
        f"  patient_encoder  {PATIENT_NEW:>10,} of {PATIENT_NEW + LAYER:>10,} parameters{own}",
        f"  objective        {HEADS:>10,} of {HEADS:>10,} parameters",
    ]


def test_all_is_counted_as_all(source, target):
    lines = describe_trained(model_of(source, target, trained="all")).splitlines()[1:]
    for line, total in zip(lines, (IMAGE, LESION_NEW + LAYER, PATIENT_NEW + LAYER, HEADS), strict=True):
        assert line.endswith(f"{total:>10,} of {total:>10,} parameters")


def test_what_trains_is_logged_once_however_many_partitions(adapt, source, target, caplog):
    both = pd.concat([rows_of(target), rows_of(target, partition="fold_1")])
    with caplog.at_level(logging.INFO, logger="slimp_pipeline.training.adapt"):
        adapt(source, rows=both, num_epochs=1)
    assert sum("Adaptation trains:" in message for message in caplog.messages) == 1


BOTH = {"lesion", "patient"}


@pytest.mark.parametrize(
    ("trained", "objective", "same_cohort", "levels", "reason"),
    [
        ("embeddings", "slimp", False, BOTH, None),
        ("embeddings", "slimp", False, {"lesion"}, None),
        ("none", "slimp", False, BOTH, "adaptation.trained is none"),
        ("all", "slimp", True, BOTH, "pre-training saw its training patients"),
        ("lora", "flat", False, set(), "it has no fields of the level lesion or patient"),
        ("lora", "inner_only", False, {"patient"}, "it has no fields of the level lesion"),
        ("lora", "outer_only", False, {"lesion"}, "it has no fields of the level patient"),
        ("lora", "simclr", False, set(), None),
    ],
)
def test_why_a_target_is_not_adapted_to(trained, objective, same_cohort, levels, reason):
    said = why_not_adapted(AdaptationParams(trained=trained), objective, same_cohort=same_cohort, levels=levels)
    assert said is None if reason is None else said is not None and said.startswith(reason)


THREE = {"image", "lesion", "patient"}


@pytest.mark.parametrize(
    ("objective", "levels", "reason"),
    [
        ("slimp", THREE, None),
        ("inner_only", THREE, None),
        ("inner_only", {"image"}, None),
        ("outer_only", {"image", "lesion"}, "it has no fields of the level patient"),
    ],
)
def test_of_three_levels_the_innermost_is_that_of_pictures(objective, levels, reason):
    assert (said := why_not_adapted(AdaptationParams(), objective, same_cohort=False, levels=levels)) is reason or (
        said.startswith(reason)
    )


@pytest.fixture(scope="module")
def of_three(tiny_of_three) -> Cohort:
    return Cohort("pictures", "f", tiny_of_three.lesions, tiny_of_three.patients, {"fold_0": tiny_of_three.encoding})


@pytest.mark.parametrize("trained", ["embeddings", "all"])
def test_a_target_of_three_levels_gets_an_encoder_of_pictures_fields_and_projections_anew(
    source, of_three, tiny_of_three, make_settings, trained, caplog
):
    start = start_of(source, of_three)
    kept = {name for name in start if name in source.state and not name.startswith("objective.")}
    kept = {name for name in kept if ".tokenizer." not in name}
    assert any(name.startswith("patient_encoder.layers") for name in kept)
    assert all(torch.equal(start[name], source.state[name]) for name in kept)
    with caplog.at_level(logging.INFO, logger="slimp_pipeline.training.adapt"):
        checkpoints, history = adapt_partitions(
            of_three,
            tiny_of_three.store,
            rows_of(of_three),
            source,
            AdaptationParams(trained=trained, num_epochs=2, learning_rate=3e-3),
            make_settings(validation_share=0.0),
            None,
            silent,
        )
    said = (
        "The encoder was trained with 2 levels, and pictures has 3: the encoder of pictures' metadata, projections and "
        "a learnt pooling begin anew"
    )
    assert caplog.messages.count(said) == 1
    changed = changed_names(start, checkpoints["fold_0"].state)
    new = {name for name in weights_of(start) if name.startswith(("picture_encoder.layers", "objective."))}
    assert new <= changed
    frozen = {name for name in weights_of(start) if name.startswith("lesion_encoder.layers")}
    assert (frozen <= changed) == (trained == "all")
    assert {"loss_image", "loss_lesion", "loss_patient"} <= set(history["name"])
    assert PretrainedSLIMP(checkpoints["fold_0"]).encode_metadata(of_three.lesions).shape[1] == 2 * 16


@pytest.mark.parametrize("pooling", ["mean", "gated_attention"])
def test_a_source_of_three_levels_is_adapted_to_a_target_of_two(adapt, source, of_three, target, pooling):
    torch.manual_seed(3)
    settings = source.model.model_copy(update={"pooling": pooling})
    state = SLIMP(settings, source.loss, of_three.encodings["fold_0"]).state_dict()
    three = replace(source, state=state, model=settings, encoding=of_three.encodings["fold_0"])
    start = start_of(three, target)
    assert not any(name.startswith("picture_encoder.") for name in start)
    assert torch.equal(start["image_encoder.norm.weight"], state["image_encoder.norm.weight"])
    checkpoints, history = adapt(three)
    assert {n for n in history["name"] if n.startswith("loss_")} == {"loss_lesion", "loss_patient"}
    adapted = checkpoints["fold_0"].state
    learnt = {name for name in weights_of(start) if name.startswith(("pooling.", "objective."))}
    assert learnt <= changed_names(start, adapted) and bool(pooling == "mean") != any(
        name.startswith("pooling.") for name in learnt
    )
