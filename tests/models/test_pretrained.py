"""Checkpoints and the object that encodes with them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch

import slimp_pipeline
from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.models import pretrained
from slimp_pipeline.models.pretrained import (
    Checkpoint,
    PretrainedSLIMP,
    image_weights,
    load,
    read_checkpoint,
    write_checkpoint,
)


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    write_checkpoint(checkpoint, tmp_path / "encoders" / "fold_0")
    return tmp_path / "encoders" / "fold_0"


def test_a_checkpoint_comes_back_bit_for_bit(checkpoint, folder):
    back = read_checkpoint(folder)
    assert back.state.keys() == checkpoint.state.keys()
    assert all(torch.equal(back.state[name], value) for name, value in checkpoint.state.items())
    assert (back.model, back.loss, back.encoding, back.facts) == (
        checkpoint.model,
        checkpoint.loss,
        checkpoint.encoding,
        checkpoint.facts,
    )


def test_a_checkpoint_folder_holds_four_files_and_nothing_is_left_beside_it(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.json", "encoding.json", "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_the_model_card_names_cohort_partition_fields_and_licence(folder):
    card = (folder / "README.md").read_text()
    for part in ("`clinic`", "`fold_0`", "abc123", "12 images of 5 patients", "age_years", "licence of the cohort"):
        assert part in card
    assert "Labels used in training: none" in card


def test_the_model_card_says_where_labels_were_used(checkpoint, tmp_path):
    used = replace(checkpoint, facts={**checkpoint.facts, "positive_sampling": True})
    write_checkpoint(used, tmp_path / "all")
    assert "malignant lesions were drawn first" in (tmp_path / "all" / "README.md").read_text()


def test_writing_again_replaces_the_checkpoint(checkpoint, folder):
    write_checkpoint(replace(checkpoint, facts={"cohort": "other"}), folder)
    assert read_checkpoint(folder).facts == {"cohort": "other"}
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_a_write_that_fails_leaves_the_old_checkpoint_whole(checkpoint, folder, monkeypatch):
    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    changed = replace(checkpoint, facts={"cohort": "other"})
    for broken in ("save_file", "_model_card"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
            patch.setattr(pretrained, broken, full_disk)
            write_checkpoint(changed, folder)
        assert read_checkpoint(folder).facts == checkpoint.facts
        assert read_checkpoint(folder.parent).facts == checkpoint.facts  # what is unfinished isn't found
    write_checkpoint(changed, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_a_format_of_a_newer_version_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(ValueError, match=r"has format 2; this version reads up to 1\. Upgrade"):
        read_checkpoint(folder)


def test_a_folder_around_one_checkpoint_reads_it_and_around_several_names_them(checkpoint, folder):
    assert read_checkpoint(folder.parent.parent).facts == checkpoint.facts
    write_checkpoint(checkpoint, folder.parent / "fold_1")
    with pytest.raises(FileNotFoundError, match=r"is no checkpoint folder.*It holds: .*fold_0, .*fold_1"):
        read_checkpoint(folder.parent)


def test_a_folder_without_a_checkpoint_says_which_command_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="kedro run --pipeline=pretrain"):
        read_checkpoint(tmp_path / "nowhere")


def test_image_files_embed_as_they_do_by_way_of_the_image_store(folder, picture_files, pack_files):
    encoder = slimp_pipeline.load(folder)
    store = pack_files(picture_files)
    canvas, side = DecodedImages(store, 16).__getitems__([0, 1, 2])
    embedding = encoder.encode_images(picture_files)
    assert embedding.shape == (3, 32)
    assert embedding.dtype == np.float32
    np.testing.assert_array_equal(embedding, encoder.encode_canvases(canvas, side))


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
    with pytest.raises(ValueError, match=r"broken\.jpg: not an image"):
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


def test_image_weights_load_into_plain_timm_and_give_the_same_features(folder):
    config = json.loads((folder / "config.json").read_text())["model"]["image_encoder"]
    plain = timm.create_model(
        config["name"], num_classes=0, img_size=config["image_size"], **config["arguments"]
    ).eval()
    plain.load_state_dict(image_weights(folder), strict=True)
    picture = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(plain(picture), load(folder).model.image_encoder(picture))
