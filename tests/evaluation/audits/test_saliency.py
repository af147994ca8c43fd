"""Saliency: what it adds up to, by hand; of transformers and convolutions; against random weights."""

import numpy as np
import pytest
import torch
from torch import nn

from slimp_pipeline.evaluation.audits.saliency import SALIENCY_COLUMNS, explain_predictions, integrated_gradients
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams, ProbeParams, SaliencyParams

SETTINGS = EvaluationParams(
    device="cpu", probe=ProbeParams(strengths=[1.0]), saliency=SaliencyParams(num_pictures=3, num_steps=64)
)


class OnePixel(nn.Module):
    """A score that rests on the red of one pixel alone, squared; the other class has its negative."""

    def forward(self, views):
        score = views[:, 0, 1, 2] ** 2
        return torch.stack([score, -score], dim=1)


def test_all_of_the_score_is_owed_to_the_one_pixel_that_it_rests_on():
    views = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, share = integrated_gradients(OnePixel(), views, torch.tensor([0, 1]), 50)
    baseline = views[:, 0].mean(dim=(1, 2))
    rise = views[:, 0, 1, 2] ** 2 - baseline**2
    torch.testing.assert_close(found[:, 1, 2], rise * torch.tensor([1.0, -1.0]))
    found[:, 1, 2] = 0
    assert (found == 0).all()
    torch.testing.assert_close(share, torch.ones(2, dtype=torch.float64))


@pytest.fixture
def explain(small_cohort, tiny_encoder, picture_store):
    def run(name="vit_tiny_patch16_224", settings=SETTINGS):
        store = picture_store(120)
        small_cohort.lesions["store_index"] = np.arange(120)
        checkpoint = tiny_encoder(small_cohort.encodings["fold_0"], name=name)
        encoder = PretrainedSLIMP(checkpoint)
        encoded = [store.encoded(index) for index in range(120)]
        small_cohort.embeddings = {"slimp.all.image": encoder.encode_pictures([bytes(one) for one in encoded])}
        return explain_predictions(small_cohort.target(encoders={"slimp": {"all": checkpoint}}), store, settings)

    return run


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "test_resnet"])
def test_maps_of_transformers_and_convolutions_add_up_to_the_scores(explain, small_cohort, name):
    table, maps = explain(name)
    assert list(table) == SALIENCY_COLUMNS and len(table) == 3
    np.testing.assert_allclose(table["explained_share"], 1, atol=0.1)
    assert table["rank_correlation"].between(-1, 1).all() and table["probability"].between(1 / 3, 1).all()
    assert set(maps) == {f"{kind}.{number}" for kind in ("view", "trained", "random") for number in range(3)}
    for number in range(3):
        assert maps[f"view.{number}"].dtype == np.uint8 and maps[f"view.{number}"].ndim == 3
        trained, random = maps[f"trained.{number}"], maps[f"random.{number}"]
        assert trained.shape == random.shape == (14, 14) and not np.allclose(trained, random)
    fold = small_cohort.splits.set_index("image_id")["fold"]
    assert set(fold[table["image_id"]]) == {0}  # test rows of the first fold alone
    assert list(table["label"]) == ["BCC", "MEL", "NEV"]


def test_pictures_are_those_that_the_encoder_saw(explain):
    _, maps = explain()
    assert maps["view.0"].shape == (16, 16, 3) and 90 < maps["view.0"].mean() < 165  # noise about its mean


def test_the_same_run_gives_the_same_maps(explain):
    (first, maps), (second, again) = explain(), explain()
    assert first.equals(second) and all(np.array_equal(maps[name], again[name]) for name in maps)


def test_none_are_drawn_where_none_are_asked_for_or_nothing_was_trained(explain, small_cohort):
    table, maps = explain(settings=SETTINGS.model_copy(update={"saliency": SaliencyParams(num_pictures=0)}))
    assert table.empty and maps == {} and list(table) == SALIENCY_COLUMNS
    table, maps = explain_predictions(small_cohort.target(), None, SETTINGS)
    assert table.empty and maps == {}
