"""The object that encodes with a checkpoint."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import slimp_pipeline
from slimp_pipeline.images.augment import plain_views
from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.models import checkpoint as checkpoints
from slimp_pipeline.models.checkpoint import Checkpoint, write_checkpoint
from slimp_pipeline.models.pictures import picture_facts
from slimp_pipeline.models.pretrained import PretrainedSLIMP, image_weights, load
from slimp_pipeline.models.slimp import SLIMP, Batch
from slimp_pipeline.parameters import IngestParams, LossParams, Objective, Pooling
from slimp_pipeline.tables.encoding import encode

INGEST = IngestParams(num_processes=1)


def test_image_files_embed_as_they_do_by_way_of_the_image_store(folder, picture_files, pack_files):
    encoder = slimp_pipeline.load(folder)
    store = pack_files(picture_files)
    canvas, side = DecodedImages(store, 16).__getitems__([0, 1, 2])
    embedding = encoder.encode_images(picture_files)
    assert embedding.shape == (3, 32)
    assert embedding.dtype == np.float32
    np.testing.assert_array_equal(embedding, encoder.encode_canvases(canvas, side))


def test_pictures_are_read_as_those_were_that_trained_the_encoder(checkpoint, tmp_path, pack_files):
    file = tmp_path / "large.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((600, 480)).save(file)
    model = checkpoint.model.model_copy(
        update={"image_encoder": checkpoint.model.image_encoder.model_copy(update={"image_size": 64})}
    )
    net = SLIMP(model, checkpoint.loss, checkpoint.encoding)
    of_default = replace(checkpoint, model=model, state=net.state_dict())
    ingest = IngestParams(num_processes=1, max_side_px=40, jpeg_quality=60)
    noted = replace(of_default, facts=checkpoint.facts | picture_facts(ingest))
    write_checkpoint(noted, tmp_path / "noted")
    for encoder, settings in ((load(tmp_path / "noted"), ingest), (PretrainedSLIMP(of_default), INGEST)):
        expected = encoder.encode_canvases(*DecodedImages(pack_files([file], settings), 64).__getitems__([0]))
        np.testing.assert_array_equal(encoder.encode_images([file]), expected)
        np.testing.assert_array_equal(encoder.encode_pictures([file.read_bytes()]), expected)


@pytest.mark.parametrize("facts", [{"max_side_px": 3}, {"jpeg_quality": "high"}, {"max_side_px": None}])
def test_a_checkpoint_that_tells_no_possible_settings_of_pictures_is_refused(checkpoint, tmp_path, facts):
    write_checkpoint(replace(checkpoint, facts=facts), tmp_path / "odd")
    with pytest.raises(ValueError, match=rf"odd: config\.json can't be used: {next(iter(facts))}: Input should be"):
        load(tmp_path / "odd")


def test_the_size_of_batches_does_not_change_an_embedding(checkpoint, picture_files):
    together = PretrainedSLIMP(checkpoint).encode_images(picture_files)
    by_two = PretrainedSLIMP(checkpoint, batch_size=2).encode_images([str(path) for path in picture_files])
    np.testing.assert_allclose(by_two, together, rtol=1e-4, atol=1e-5)


def test_no_images_and_no_rows_give_empty_embeddings_of_the_right_width(checkpoint):
    encoder = PretrainedSLIMP(checkpoint)
    for embedding, width in (
        (encoder.encode_images([]), 32),
        (encoder.encode_metadata(pd.DataFrame()), 16),
        (encoder.encode_patients(pd.DataFrame()), 16),
    ):
        assert embedding.shape == (0, width)
        assert embedding.dtype == np.float32


def test_an_image_that_cannot_be_read_is_named_with_the_reason(checkpoint, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg: not a picture in a format that is read"):
        PretrainedSLIMP(checkpoint).encode_images([tmp_path / "broken.jpg"])
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
        PretrainedSLIMP(checkpoint).encode_images([tmp_path / "absent.jpg"])


def test_metadata_embed_with_absent_columns_as_with_empty_ones(checkpoint):
    encoder = PretrainedSLIMP(checkpoint)
    absent = encoder.encode_metadata(pd.DataFrame({"diameter_mm": [3.0, 5.0]}))
    empty = encoder.encode_metadata(pd.DataFrame({"diameter_mm": [3.0, 5.0], "site": [None, None], "other": [1, 2]}))
    assert absent.shape == (2, 16)
    assert absent.dtype == np.float32
    np.testing.assert_array_equal(absent, empty)
    assert not np.allclose(absent[0], absent[1])


def test_categories_are_read_in_the_form_in_which_ingest_reads_them(checkpoint):
    encoder = PretrainedSLIMP(checkpoint)
    odd = pd.DataFrame({"site": ["arm\u200b", "\u00a0leg", None], "depth_mm": [1, 2, 3]}, index=[7, 7, 9])
    meant = odd.assign(site=["arm", "leg", None])
    np.testing.assert_array_equal(encoder.encode_metadata(odd), encoder.encode_metadata(meant))
    assert odd["site"].iloc[0] == "arm\u200b"


def test_rows_with_equal_fields_are_embedded_once(checkpoint, monkeypatch):
    encoder = PretrainedSLIMP(checkpoint)
    frame = pd.DataFrame({"diameter_mm": [5.0, 3.0, 5.0, None, 3.0], "site": ["torso", None, "torso", None, None]})
    one_by_one = np.concatenate([encoder.encode_metadata(frame.iloc[[row]]) for row in range(len(frame))])
    seen = []
    monkeypatch.setattr(encoder.model.lesion_encoder, "forward", _noting(seen, encoder.model.lesion_encoder.forward))
    np.testing.assert_allclose(encoder.encode_metadata(frame), one_by_one, rtol=1e-5, atol=1e-6)
    assert seen == [3]


def _noting(seen, forward):
    def noted(fields):
        seen.append(len(next(iter(fields.values()))))
        return forward(fields)

    return noted


def test_rows_of_which_nothing_is_known_embed_to_the_learnt_vectors(checkpoint):
    encoder = PretrainedSLIMP(checkpoint)
    nothing = pd.DataFrame(index=range(2))
    for embedding, name in (
        (encoder.encode_metadata(nothing), "lesion_encoder"),
        (encoder.encode_patients(nothing), "patient_encoder"),
    ):
        np.testing.assert_array_equal(embedding, checkpoint.state[f"{name}.nothing_known"].expand(2, -1).numpy())


def test_many_rows_embed_as_few_do(checkpoint):
    encoder = PretrainedSLIMP(checkpoint)
    ages = pd.DataFrame({"age_years": np.arange(5000) % 90.0})
    many = encoder.encode_patients(ages)
    assert many.shape == (5000, 16)
    np.testing.assert_allclose(many[4990:], encoder.encode_patients(ages.iloc[4990:]), rtol=1e-4, atol=1e-5)


def test_the_folder_is_the_image_encoder_in_plain_timm_and_gives_the_same_features(folder):
    plain = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert image_weights(folder).keys() == plain.state_dict().keys()
    picture = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(plain(picture), load(folder).model.image_encoder(picture))


# Lesions of three patients, not patient by patient. Rows 0 and 3 have equal metadata, and so have patients a and o.
ROWS = pd.DataFrame(
    {
        "patient_id": ["q", "a", "q", "o", "a", "q"],
        "diameter_mm": [3.0, 5.0, np.nan, 3.0, 5.0, 7.0],
        "site": ["arm", "arm", "leg", "arm", "leg", "back"],
        "age_years": [60.0, 40.0, 60.0, 40.0, 40.0, 60.0],
        "sex": ["male", "female", "male", "female", "female", "male"],
    }
)
OWNER = torch.tensor([0, 1, 0, 2, 1, 0])  # q, a, o
LESION_GROUPS, PATIENT_GROUPS = torch.tensor([0, 1, 2, 0, 3, 4]), torch.tensor([0, 1, 1])


@pytest.fixture
def make_checkpoint(model_settings, encoding):
    def make(objective: str = "slimp", pooling: str = "mean") -> Checkpoint:
        torch.manual_seed(0)
        arguments = {**model_settings.image_encoder.arguments, "proj_drop_rate": 0.5}
        image_encoder = model_settings.image_encoder.model_copy(update={"arguments": arguments})
        settings = model_settings.model_copy(update={"pooling": pooling, "image_encoder": image_encoder})
        loss = LossParams(objective=objective)
        return Checkpoint(SLIMP(settings, loss, encoding).state_dict(), settings, loss, encoding)

    return make


@pytest.fixture
def image(checkpoint) -> np.ndarray:
    """Image embeddings of the rows."""
    return PretrainedSLIMP(checkpoint).encode_canvases(*canvases())


def canvases() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, 20, 20), generator=generator, dtype=torch.uint8), torch.full((6,), 20)


def batch_of(checkpoint: Checkpoint, model: SLIMP) -> Batch:
    """The rows as training would hand them to the model."""
    own = ROWS.iloc[[0, 1, 3]]
    lesion, patient = (
        {name: torch.from_numpy(values) for name, values in encode(level, rows).items()}
        for level, rows in ((checkpoint.encoding.lesion, ROWS), (checkpoint.encoding.patient, own))
    )
    views = plain_views(*canvases(), model.view_format(16))
    return Batch(views, lesion, patient, OWNER, LESION_GROUPS, PATIENT_GROUPS)


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(((first[:, None] == first) == (second[:, None] == second)).all())


@torch.inference_mode()
@pytest.mark.parametrize("objective", get_args(Objective))
def test_contrasts_are_those_of_the_models_own_forward_pass(make_checkpoint, objective):
    encoder = PretrainedSLIMP(make_checkpoint(objective))
    _, expected = encoder.model(batch_of(encoder.checkpoint, encoder.model))
    contrasts = encoder.contrast(encoder.encode_canvases(*canvases()), ROWS)
    assert contrasts.keys() == expected.keys()
    for name, (left, right, groups) in contrasts.items():
        assert left.dtype == right.dtype == np.float32
        assert groups.dtype == np.int64
        np.testing.assert_allclose(left, expected[name].left_ND.numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(right, expected[name].right_ND.numpy(), rtol=1e-4, atol=1e-6)
        assert same_partition(groups, expected[name].groups_N.numpy())


def test_groups_are_rows_of_equal_metadata_and_patients_stand_as_they_first_appear(make_checkpoint, image):
    contrasts = PretrainedSLIMP(make_checkpoint()).contrast(image, ROWS)
    assert {name: values[0].shape for name, values in contrasts.items()} == {"lesion": (6, 8), "patient": (3, 8)}
    assert same_partition(contrasts["lesion"][2], np.array([0, 1, 2, 0, 3, 4]))
    patient = contrasts["patient"]
    assert same_partition(patient[2], np.array([0, 1, 1]))
    np.testing.assert_allclose(patient[1][1], patient[1][2], rtol=1e-4, atol=1e-6)  # a and o
    assert not np.allclose(patient[1][0], patient[1][1], atol=1e-3)
    assert not np.allclose(patient[0][1], patient[0][2], atol=1e-3)  # their lesions differ


def test_flat_rows_are_of_one_group_where_both_levels_coincide(make_checkpoint, image):
    rows = ROWS.assign(site="arm", diameter_mm=[1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    _, right, groups = PretrainedSLIMP(make_checkpoint("flat")).contrast(image, rows)["flat"]
    # a and o coincide at the patient level, q differs: (q 1), (a 1), (q 1), (o 1), (a 2), (q 2)
    assert same_partition(groups, np.array([0, 1, 0, 1, 2, 3]))
    distance = np.abs(right[:, None] - right).max(axis=2)
    assert ((distance < 1e-5) == (groups[:, None] == groups)).all()


def test_simclr_contrasts_each_image_with_itself_whatever_the_metadata(make_checkpoint, image):
    encoder = PretrainedSLIMP(make_checkpoint("simclr"))
    contrasts = encoder.contrast(image, ROWS)
    assert list(contrasts) == ["views"]
    left, right, groups = contrasts["views"]
    np.testing.assert_array_equal(left, right)
    assert len(set(groups.tolist())) == 6
    with torch.inference_mode():
        projected = encoder.model.objective.projection(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(left, projected, rtol=1e-5, atol=1e-6)
    bare = encoder.contrast(image, ROWS[["patient_id"]])
    np.testing.assert_allclose(bare["views"][0], left, rtol=1e-5, atol=1e-6)


def test_a_mean_phenotype_is_the_mean_of_image_and_metadata_of_a_patients_lesions(checkpoint, image):
    encoder = PretrainedSLIMP(checkpoint)
    joined = np.concatenate([image, encoder.encode_metadata(ROWS)], axis=1)
    expected = np.stack([joined[[0, 2, 5]].mean(axis=0), joined[[1, 4]].mean(axis=0), joined[3]])
    phenotype = encoder.encode_phenotypes(image, ROWS)
    assert phenotype.dtype == np.float32
    np.testing.assert_allclose(phenotype, expected, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_phenotypes_are_those_of_the_models_own_forward_pass(make_checkpoint, pooling):
    encoder = PretrainedSLIMP(make_checkpoint(pooling=pooling))
    phenotype = encoder.encode_phenotypes(encoder.encode_canvases(*canvases()), ROWS)
    assert phenotype.shape == (3, encoder.model.pooling.out_dim)
    _, expected = encoder.model(batch_of(encoder.checkpoint, encoder.model))
    left = encoder.model.objective.outer.patient.left(torch.from_numpy(phenotype))
    torch.testing.assert_close(left, expected["patient"].left_ND, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_the_order_and_index_of_rows_do_not_change_a_patients_phenotype(make_checkpoint, image, pooling):
    encoder = PretrainedSLIMP(make_checkpoint(pooling=pooling))
    order = [3, 5, 4, 0, 2, 1]  # patients first appear as o, q, a
    shuffled = encoder.encode_phenotypes(image[order], ROWS.iloc[order])
    np.testing.assert_allclose(shuffled[[1, 2, 0]], encoder.encode_phenotypes(image, ROWS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_no_rows_give_no_phenotypes_of_the_right_width(make_checkpoint, image, pooling):
    encoder = PretrainedSLIMP(make_checkpoint(pooling=pooling))
    phenotype = encoder.encode_phenotypes(image[:0], ROWS.iloc[:0])
    assert phenotype.shape == (0, encoder.model.pooling.out_dim)
    assert phenotype.dtype == np.float32


def test_weights_that_do_not_fit_their_settings_are_refused_with_the_folder_and_the_tensors(checkpoint, tmp_path):
    state = dict(checkpoint.state)
    state["other.weight"] = state.pop("image_encoder.cls_token")
    state["image_encoder.norm.bias"] = torch.zeros(7)
    state["image_encoder.norm.weight"] = state["image_encoder.norm.weight"].half()
    write_checkpoint(replace(checkpoint, state=state), tmp_path / "mixed")
    with pytest.raises(
        ValueError,
        match=r"checkpoint .*mixed: the weights don't fit the network .*: 1 tensors absent "
        r"\['image_encoder\.cls_token'\], 1 unknown \['other\.weight'\], 1 of another shape "
        r"\['image_encoder\.norm\.bias \(7,\), needed \(32,\)'\], 1 of another type "
        r"\['image_encoder\.norm\.weight float16, needed float32'\]\. Were the files of several checkpoints mixed\?",
    ):
        load(tmp_path / "mixed")


def with_settings(folder: Path, **changes: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    config["slimp"]["model"]["image_encoder"] |= changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_settings_that_timm_cannot_build_are_refused_with_the_folder(folder):
    with pytest.raises(ValueError, match=r"checkpoint .*fold_0: timm has no model 'no_such_model'"):
        load(with_settings(folder, name="no_such_model"))
    for arguments in ({"num_heads": 0}, {"no_such": 1}, {"act_layer": "none_such"}, {"depth": "many"}):
        with pytest.raises(ValueError, match=r"checkpoint .*fold_0: timm can't build 'vit_tiny_patch16_224' with"):
            load(with_settings(folder, name="vit_tiny_patch16_224", arguments=arguments))


@pytest.fixture
def events() -> Iterator[list[str]]:
    """What is opened, and asked of the network, during the test."""
    seen: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event == "open" and isinstance(arguments[0], str | bytes):
            seen.append(os.fsdecode(arguments[0]))
        elif event.startswith(("socket.", "urllib.", "subprocess.", "pickle.")):
            seen.append(event)
            raise PermissionError(event)

    sys.addaudithook(watch)  # can't be taken away again
    yield seen
    watching = False


@pytest.mark.parametrize("weights", ["random", "hub", "/tmp/elsewhere/weights.safetensors"])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k"])
def test_loading_reads_the_folder_and_nothing_else(folder, monkeypatch, events, weights, name):
    load(folder)  # so that all modules are imported
    opened = []

    def recorded(path):
        opened.append(path)
        return load_file(path)

    monkeypatch.setattr(checkpoints, "load_file", recorded)  # its files are opened by Rust, unseen
    with_settings(folder, name=name, weights=weights)
    events.clear()
    load(folder)
    assert {Path(path) for path in [*events, *opened]} == {
        folder / file for file in ("config.json", "encoding.json", "model.safetensors", "slimp.safetensors")
    }


EVIL = [
    {"name": "hf-hub:timm/resnet18.a1_in1k"},
    {"name": "hf_hub:timm/resnet18.a1_in1k"},
    {"name": "local-dir:{other}"},
    {"arguments": {"checkpoint_path": "{other}/weights.bin"}},
    {"arguments": {"pretrained": True}},
    {"arguments": {"pretrained": True, "pretrained_cfg": {"file": "{other}/weights.bin"}}},
    {"arguments": {"pretrained_cfg_overlay": {"url": "http://127.0.0.1:9/weights.bin"}}},
    {"arguments": {"pretrained_cfg": {"hf_hub_id": "timm/resnet18.a1_in1k"}}},
]


@pytest.mark.parametrize("changes", EVIL, ids=str)
def test_settings_that_would_fetch_or_open_something_are_refused_before_they_do(folder, tmp_path, events, changes):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"architecture": "resnet18"}')
    (tmp_path / "other" / "weights.bin").write_bytes(b"\x80\x04.")
    with_settings(folder, **json.loads(json.dumps(changes).replace("{other}", str(tmp_path / "other"))))
    events.clear()
    with pytest.raises(ValueError, match=r"fold_0: config\.json can't be used: model\.image_encoder"):
        load(folder)
    assert [Path(path).name for path in events] == ["config.json"]
