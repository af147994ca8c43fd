"""The object that encodes with a checkpoint."""

import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch

import slimp_pipeline
from slimp_pipeline.images.decode import DecodedImages
from slimp_pipeline.models.pretrained import PretrainedSLIMP, image_weights, load


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
