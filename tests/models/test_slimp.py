"""The nested model."""

from typing import get_args

import pandas as pd
import pytest
import torch

from slimp_pipeline.models.slimp import SLIMP, Batch
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, ModelParams, Objective, Pooling
from slimp_pipeline.tables.encoding import encode


@pytest.fixture
def model(model_settings, encoding) -> SLIMP:
    torch.manual_seed(0)
    return SLIMP(model_settings, LossParams(), encoding).eval()


def draw(encoding, counts: list[int], views: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(0)
    lesions = sum(counts)
    lesion_rows = pd.DataFrame({"diameter_mm": [float(n) for n in range(lesions)], "site": "arm"})
    patient_rows = pd.DataFrame({"age_years": [30.0 + n for n in range(len(counts))]})
    lesion, patient = (
        {name: torch.from_numpy(part) for name, part in encode(level, rows).items()}
        for level, rows in ((encoding.lesion, lesion_rows), (encoding.patient, patient_rows))
    )
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    views = torch.randn(views * lesions, 3, 16, 16, generator=generator)
    return Batch(views, lesion, patient, owner, torch.arange(lesions), torch.arange(len(counts)))


def of_patient(batch: Batch, number: int) -> Batch:
    own = (batch.patient_of_lesion_K == number).nonzero().view(-1)
    lesion = {name: part[own] for name, part in batch.lesion.items()}
    patient = {name: part[[number]] for name, part in batch.patient.items()}
    return Batch(batch.views[own], lesion, patient, torch.zeros_like(own), own, torch.tensor([0]))


def phenotypes(model, batch: Batch) -> torch.Tensor:
    image, lesion = model.image_encoder(batch.views), model.lesion_encoder(batch.lesion)
    return model.phenotype(image, lesion, batch.patient_of_lesion_K, len(batch.patient_groups_P))


def test_a_batch_of_patients_with_any_number_of_lesions_is_contrasted(model, encoding):
    losses, contrasts = model(draw(encoding, [1, 4, 2]))
    assert contrasts["lesion"].left_ND.shape == contrasts["lesion"].right_ND.shape == (7, 8)
    assert contrasts["patient"].left_ND.shape == contrasts["patient"].right_ND.shape == (3, 8)
    assert set(losses) == {"loss", "loss_lesion", "loss_patient"}


def test_a_patients_phenotype_does_not_depend_on_the_other_patients(model, encoding):
    batch = draw(encoding, [1, 5, 2])
    together = phenotypes(model, batch)
    for number in range(3):
        alone = phenotypes(model, of_patient(batch, number))
        torch.testing.assert_close(alone[0], together[number], rtol=1e-4, atol=1e-5)


def test_the_phenotype_is_the_mean_of_image_and_metadata_representations(model, encoding):
    batch = draw(encoding, [2, 1])
    joined = torch.cat([model.image_encoder(batch.views), model.lesion_encoder(batch.lesion)], dim=1)
    torch.testing.assert_close(phenotypes(model, batch), torch.stack([joined[:2].mean(0), joined[2]]))


def test_what_is_contrasted_at_the_patient_level_is_the_phenotype(model, encoding):
    batch = draw(encoding, [2, 1])
    _, contrasts = model(batch)
    expected = model.objective.outer.patient.left(phenotypes(model, batch))
    torch.testing.assert_close(contrasts["patient"].left_ND, expected)


def test_two_views_of_a_batch_keep_their_order(model_settings, encoding):
    model = SLIMP(model_settings, LossParams(objective="simclr"), encoding).eval()
    batch = draw(encoding, [2, 1], views=2)
    _, contrasts = model(batch)
    first, second = model.image_encoder(batch.views).split(3)
    torch.testing.assert_close(contrasts["views"].left_ND, model.objective.projection(first))
    torch.testing.assert_close(contrasts["views"].right_ND, model.objective.projection(second))


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_every_pooling_trains(model_settings, encoding, pooling):
    model = SLIMP(model_settings.model_copy(update={"pooling": pooling}), LossParams(), encoding)
    losses, _ = model(draw(encoding, [1, 4, 2]))
    losses["loss"].backward()
    assert all(p.grad is not None for p in model.pooling.parameters())


def test_the_encoders_start_alike_whatever_the_objective(model_settings, encoding):
    states = []
    for name in get_args(Objective):
        torch.manual_seed(0)
        states.append(SLIMP(model_settings, LossParams(objective=name), encoding).state_dict())
    shared = [key for key in states[0] if "encoder" in key]
    assert all(torch.equal(states[0][key], state[key]) for state in states for key in shared)


def test_batch_norm_is_kept_through_training_and_evaluation(encoding):
    image_encoder = ImageEncoderParams(
        name="tf_efficientnet_lite0", image_size=32, weights="file.safetensors", keep_batch_norm=True
    )
    settings = ModelParams(image_encoder=image_encoder)
    model = SLIMP(settings, LossParams(), encoding, load_weights=False)
    for _ in range(2):
        model.train()
        assert model.lesion_encoder.training and model.image_encoder.conv_head.training
        assert not model.image_encoder.bn2.training
        model.eval()
        assert not model.lesion_encoder.training
