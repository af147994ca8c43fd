"""The nested model."""

import math

import pandas as pd
import pytest
import torch

from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import encode


@pytest.fixture
def model(model_settings, encoding) -> SLIMP:
    torch.manual_seed(0)
    return SLIMP(model_settings, LossParams(), encoding).eval()


def batch(encoding, counts: list[int], seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    lesions = sum(counts)
    lesion_rows = pd.DataFrame({"diameter_mm": [float(n) for n in range(lesions)], "site": "arm"})
    patient_rows = pd.DataFrame({"age_years": [30.0 + n for n in range(len(counts))]})
    lesion, patient = (
        {name: torch.from_numpy(part) for name, part in encode(level, rows).items()}
        for level, rows in ((encoding.lesion, lesion_rows), (encoding.patient, patient_rows))
    )
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return torch.randn(lesions, 3, 16, 16, generator=generator), lesion, patient, owner


def some(fields, rows):
    return {name: part[rows] for name, part in fields.items()}


def test_a_batch_of_patients_with_any_number_of_lesions_is_projected(model, encoding):
    projections = model(*batch(encoding, [1, 4, 2]))
    assert projections.image_BD.shape == projections.lesion_metadata_BD.shape == (7, 8)
    assert projections.phenotype_PD.shape == projections.patient_metadata_PD.shape == (3, 8)
    assert projections.lesion_temperature.item() == pytest.approx(0.07)
    assert projections.patient_temperature.item() == pytest.approx(0.07)


def test_a_patients_phenotype_does_not_depend_on_the_other_patients(model, encoding):
    image, lesion, patient, owner = batch(encoding, [1, 5, 2])
    together = model(image, lesion, patient, owner).phenotype_PD
    for number in range(3):
        own = (owner == number).nonzero().view(-1)
        alone = model(
            image[own],
            some(lesion, own),
            some(patient, torch.tensor([number])),
            torch.zeros(len(own), dtype=torch.long),
        )
        torch.testing.assert_close(alone.phenotype_PD[0], together[number], rtol=1e-4, atol=1e-5)


def test_the_order_of_a_patients_lesions_does_not_change_its_phenotype(model, encoding):
    image, lesion, patient, owner = batch(encoding, [3, 2])
    order = torch.tensor([2, 0, 1, 4, 3])
    shuffled = model(image[order], some(lesion, order), patient, owner).phenotype_PD
    torch.testing.assert_close(shuffled, model(image, lesion, patient, owner).phenotype_PD, rtol=1e-4, atol=1e-5)


def test_the_phenotype_projects_the_mean_of_image_and_metadata_representations(model, encoding):
    image, lesion, patient, owner = batch(encoding, [2, 1])
    joined = torch.cat([model.image_encoder(image), model.lesion_encoder(lesion)], dim=1)
    expected = model.phenotype_projection(torch.stack([joined[:2].mean(0), joined[2]]))
    torch.testing.assert_close(model(image, lesion, patient, owner).phenotype_PD, expected)


def test_temperatures_begin_at_the_setting_but_never_below_the_minimum(model_settings, encoding):
    for setting, expected in ((0.07, 0.07), (0.001, 0.02)):
        model = SLIMP(model_settings, LossParams(temperature=setting, min_temperature=0.02), encoding)
        assert model.log_temperatures.exp().tolist() == pytest.approx([expected] * 2)


def test_a_temperature_at_its_minimum_can_rise_again(model, encoding):
    with torch.no_grad():
        model.log_temperatures.fill_(-20.0)
    model.clamp_temperatures()
    assert model.log_temperatures.tolist() == pytest.approx([math.log(0.01)] * 2)
    model(*batch(encoding, [1, 1])).lesion_temperature.backward()
    assert float(model.log_temperatures.grad[0]) == pytest.approx(0.01)


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
