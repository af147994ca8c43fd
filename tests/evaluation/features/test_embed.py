"""Embeddings of a target, and the models that training started from."""

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from slimp_pipeline.evaluation.features import embed
from slimp_pipeline.evaluation.features.embed import (
    block,
    chosen_rows,
    embed_images,
    embed_methods,
    evaluation_rows,
    initial,
    methods,
)
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    EvaluationParams,
    FeatureParams,
    ImageEncoderParams,
    LossParams,
    MetadataEncoderParams,
    ModelParams,
    TrainingParams,
)
from slimp_pipeline.tables.encoding import CheckboxEncoding, Encoding, LevelEncoding, NumericEncoding
from slimp_pipeline.training import pretrain
from slimp_pipeline.training.history import History
from slimp_pipeline.training.run import Progress

AGE = NumericEncoding(mean=50, std=10, minimum=None, maximum=None)
ENCODING = Encoding(
    lesion=LevelEncoding(fields={"symptoms": CheckboxEncoding(options=["itch", "grew"])}),
    patient=LevelEncoding(fields={"age_years": AGE}),
    num_patients=4,
)


def model_settings(weights="random"):
    arguments = {"patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    image = ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, weights=weights, arguments=arguments)
    return ModelParams(image_encoder=image, metadata_encoder=MetadataEncoderParams(dim=8), projection_dim=8)


@pytest.fixture
def rows():
    numbers = range(6)
    columns = {"symptoms.itch": [True, False] * 3, "symptoms.grew": [False] * 6, "age_years": [30.0, 40, 50] * 2}
    ids = {"image_id": [f"i{n}" for n in numbers], "patient_id": [f"p{n}" for n in numbers], "store_index": numbers}
    frame = pd.DataFrame({**ids, **columns, "malignant": [False] * 6})
    return frame.astype({"symptoms.itch": "boolean", "symptoms.grew": "boolean"})


@pytest.fixture
def store(tmp_path):
    rng, images = np.random.default_rng(0), []
    for number in range(6):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(buffer, "PNG")
        images.append({"image_id": f"i{number}", "encoded": buffer.getvalue()})
    with pa.OSFile(str(tmp_path / "store.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(images, SCHEMA))
    return ImageStore(tmp_path / "store.arrow")


@pytest.fixture
def trained(rows, monkeypatch):
    """A checkpoint as pre-training leaves it, and the weights that it started from."""

    def run(weights="random"):
        started = {}

        def one_step(task, report):
            started.update({name: value.clone() for name, value in task.model.state_dict().items()})
            return {name: value + 1 for name, value in started.items()}, SimpleNamespace(
                history=History(), progress=Progress(), length="none"
            )

        monkeypatch.setattr(pretrain, "train", one_step)
        patients = rows[["patient_id", "age_years"]].assign(num_images=1)
        cohort = pretrain.Cohort("small", "digest", rows, patients, {"all": ENCODING})
        training_rows = rows[["image_id", "patient_id"]]
        settings = TrainingParams(seed=7)
        checkpoint, _ = pretrain.pretrain_partition(
            cohort, None, "all", training_rows, model_settings(weights), settings, None, lambda *a: None
        )
        return checkpoint, started

    return run


@pytest.fixture
def weights_file(tmp_path):
    torch.manual_seed(99)
    state = SLIMP(model_settings(), LossParams(), ENCODING).image_encoder.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("from_file", [False, True])
def test_initial_rebuilds_exactly_what_training_started_from(trained, weights_file, from_file):
    checkpoint, started = trained(weights_file if from_file else "random")
    torch.manual_seed(12345)
    rebuilt = initial(checkpoint, random_image_encoder=False).state
    assert rebuilt.keys() == started.keys()
    assert all(torch.equal(rebuilt[name], started[name]) for name in started)


def test_random_init_differs_from_the_initial_weights_in_the_image_encoder_alone(trained, weights_file):
    checkpoint, started = trained(weights_file)
    state = initial(checkpoint, random_image_encoder=True).state
    differing = {name for name in started if not torch.equal(state[name], started[name])}
    assert differing and all(name.startswith("image_encoder.") for name in differing)


def test_every_method_has_its_blocks_in_the_order_of_the_rows(trained, weights_file, rows, store):
    checkpoint, _ = trained(weights_file)
    settings = EvaluationParams(num_workers=0, batch_size=4, device="cpu")
    embeddings = embed_methods(rows, store, {"slimp": {"fold_0": checkpoint, "fold_1": checkpoint}}, settings)
    assert methods(embeddings) == ["slimp", "initial_weights", "random_init"]
    assert {name for name in embeddings if name.endswith("image")} == {
        "slimp.fold_0.image",
        "slimp.fold_1.image",
        "initial_weights.all.image",
        "random_init.all.image",
    }
    for method in methods(embeddings):  # a level of checkbox groups alone has its block too
        assert {f"{method}.fold_1.lesion", f"{method}.fold_1.patient"} <= embeddings.keys()
    turned = embed_methods(rows[::-1].reset_index(drop=True), store, {"slimp": {"fold_0": checkpoint}}, settings)
    for name, values in turned.items():
        np.testing.assert_allclose(values[::-1], embeddings[name], atol=1e-5)


def test_several_encoders_read_each_picture_once_and_see_it_as_one_alone_does(trained, rows, store, monkeypatch):
    checkpoint, _ = trained()
    larger = model_settings()
    larger = larger.model_copy(update={"image_encoder": larger.image_encoder.model_copy(update={"image_size": 24})})
    torch.manual_seed(3)
    of_size_24 = Checkpoint(SLIMP(larger, LossParams(), ENCODING).state_dict(), larger, LossParams(), ENCODING)
    starting = initial(checkpoint, random_image_encoder=True)
    encoders = {name: PretrainedSLIMP(own) for name, own in (("a", checkpoint), ("large", of_size_24), ("b", starting))}
    settings = EvaluationParams(num_workers=0, batch_size=4)
    alone = {name: embed_images({name: own}, rows, store, settings, "one")[name] for name, own in encoders.items()}
    read, encoded = [], ImageStore.encoded
    monkeypatch.setattr(ImageStore, "encoded", lambda self, row: read.append(row) or encoded(self, row))
    together = embed_images(encoders, rows, store, settings, "all")
    assert sorted(read) == sorted([*range(6)] * 2)  # once for each size
    assert list(together) == list(encoders)
    for name, values in together.items():
        np.testing.assert_array_equal(values, alone[name])


def test_more_encoders_than_are_loaded_at_once_have_all_their_blocks(trained, rows, store, monkeypatch):
    checkpoint, _ = trained()
    settings = EvaluationParams(num_workers=0, device="cpu")
    groups = {"slimp": {f"fold_{n}": checkpoint for n in range(3)}, "slimp_adapted": {"fold_0": checkpoint}}
    expected = embed_methods(rows, store, groups, settings)
    monkeypatch.setattr(embed, "_ENCODERS_AT_ONCE", 2)
    embeddings = embed_methods(rows, store, groups, settings)
    assert list(embeddings) == list(expected)
    for name, values in embeddings.items():
        np.testing.assert_array_equal(values, expected[name])


def test_beside_an_adapted_encoder_stands_its_start_with_the_targets_fields(trained, weights_file, rows, store):
    checkpoint, _ = trained(weights_file)
    settings = EvaluationParams(num_workers=0, batch_size=4, device="cpu")
    groups = {"slimp": {"all": checkpoint}, "slimp_adapted": {"fold_0": checkpoint}}
    embeddings = embed_methods(rows, store, groups, settings)
    started = "initial_weights_adapted"
    assert started not in methods(embeddings) and methods(embeddings, fused=True)[-1] == started
    expected = PretrainedSLIMP(initial(checkpoint, random_image_encoder=False)).encode_metadata(rows)
    np.testing.assert_allclose(embeddings[f"{started}.fold_0.lesion"], expected, rtol=1e-6)
    assert block(embeddings, started, "fold_0", "image") is embeddings["initial_weights.all.image"]


def test_a_level_of_which_the_target_has_no_field_is_left_out(trained, rows, store):
    checkpoint, _ = trained()
    settings = EvaluationParams(num_workers=0, device="cpu")
    embeddings = embed_methods(rows.drop(columns="age_years"), store, {"slimp": {"all": checkpoint}}, settings)
    assert methods(embeddings) == ["slimp", "random_init"]
    assert {name.split(".")[2] for name in embeddings} == {"image", "lesion"}
    expected = PretrainedSLIMP(checkpoint).encode_metadata(rows)
    np.testing.assert_allclose(embeddings["slimp.all.lesion"], expected, rtol=1e-6)


def test_rows_without_image_or_split_arent_embedded_and_patients_are_settled():
    lesions = pd.DataFrame(
        {
            "image_id": ["c", "a", "b", "d"],
            "patient_id": ["p1", "p1", "p2", "p2"],
            "store_index": [2, 0, None, 3],
            "age_years": [60.0, 62, 30, 30],
        }
    )
    patients = pd.DataFrame({"patient_id": ["p1", "p2"], "num_images": [2, 2], "age_years": [61.0, 30]})
    rows = evaluation_rows(lesions, patients, pd.DataFrame({"image_id": ["a", "b", "c"]}))
    assert rows["image_id"].tolist() == ["a", "c"]
    assert rows["age_years"].tolist() == [61, 61]


def test_a_checkpoint_travels_with_the_settings_it_was_made_with(trained):
    checkpoint, _ = trained()
    assert isinstance(checkpoint, Checkpoint) and checkpoint.facts["training"]["seed"] == 7


def test_a_target_without_a_picture_is_refused_by_name(rows):
    bare, patients = rows.assign(store_index=pd.NA), rows[["patient_id"]].assign(num_images=0)
    with pytest.raises(ValueError, match="cohort clinic has no row with an image"):
        chosen_rows(
            SimpleNamespace(name="clinic", select_fields=lambda _: {}),
            bare,
            patients,
            rows[["image_id"]],
            FeatureParams(),
        )
