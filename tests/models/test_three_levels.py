"""The model where pictures have fields of their own: pictures inside lesions inside patients."""

import json
from dataclasses import replace
from itertools import groupby

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.models.batch import Batch, PictureFields
from slimp_pipeline.models.checkpoint import ENCODING, Checkpoint, read_checkpoint, write_checkpoint
from slimp_pipeline.models.fingerprint import check_fingerprint, write_fingerprint
from slimp_pipeline.models.pretrained import PretrainedSLIMP, load
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import LossParams
from slimp_pipeline.tables.encoding import CategoricalEncoding, LevelEncoding, NumericEncoding, encode, row_groups

# A patient's rows, and a lesion's, next to each other; two lesions share an id, since patients share ids.
ROWS = pd.DataFrame(
    {
        "patient_id": list("qqqqqaao"),
        "lesion_id": ["1", "1", "2", "2", "2", "1", "1", "3"],
        "modality": ["clinical", "dermoscopic", "clinical", "clinical", None, "dermoscopic", "clinical", "dermoscopic"],
        "hair": [0.1, 0.7, None, 0.3, 0.3, 0.9, 0.2, 0.5],
        "site": ["arm", "arm", "back", "back", "back", "leg", "leg", None],
        "age_years": [30.0] * 5 + [60.0] * 2 + [45.0],
        "sex": ["male"] * 5 + ["female"] * 3,
    }
)
LESION, PATIENT = [0, 0, 1, 1, 1, 2, 2, 3], [0, 0, 1, 2]


@pytest.fixture(scope="module")
def three(encoding):
    """The encoding of the other tests, with fields of pictures."""
    image = LevelEncoding(
        fields={
            "modality": CategoricalEncoding(categories=["clinical", "dermoscopic"]),
            "hair": NumericEncoding(mean=0.5, std=0.3, minimum=0.0, maximum=1.0),
        }
    )
    return encoding.model_copy(update={"image": image})


@pytest.fixture(scope="module")
def made(model_settings, three) -> Checkpoint:
    torch.manual_seed(0)
    model = SLIMP(model_settings, LossParams(), three)
    return Checkpoint(model.state_dict(), model_settings, LossParams(), three)


def batch_of(encoding, rows: pd.DataFrame, views: torch.Tensor) -> Batch:
    """Rows as training would hand them to the model."""
    lesion_N = encoding.lesion_numbers(rows)
    each = rows.iloc[np.unique(lesion_N, return_index=True)[1]]
    own = rows.drop_duplicates("patient_id")
    owner = torch.from_numpy(pd.factorize(each["patient_id"])[0])
    tables = {"image": rows, "lesion": each, "patient": own}
    encoded = {name: encode(level, tables[name]) for name, level in encoding.levels.items()}
    fields = {name: {k: torch.from_numpy(v) for k, v in value.items()} for name, value in encoded.items()}
    groups = {name: torch.from_numpy(row_groups(value)) for name, value in encoded.items()}
    pictures = PictureFields(fields["image"], groups["image"], torch.from_numpy(lesion_N))
    return Batch(
        views, fields["lesion"], fields["patient"], owner, groups["lesion"], groups["patient"], pictures=pictures
    )


def views(count: int = len(ROWS)) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_what_is_contrasted_is_what_a_loop_over_patients_lesions_and_pictures_pools(made, three):
    encoder = PretrainedSLIMP(made)
    model, pictures = encoder.model, views()
    _, contrasts = model(batch_of(three, ROWS, pictures))
    image = model.image_encoder(pictures)
    phenotypes, looks = [], []
    for _, rows in groupby(range(len(ROWS)), key=lambda row: ROWS["patient_id"][row]):
        lesions = []
        for _, own in groupby(rows, key=lambda row: ROWS["lesion_id"][row]):
            frame = ROWS.iloc[kept := list(own)]
            both = torch.from_numpy(encoder.encode_metadata(frame))  # of pictures, then of their lesion
            seen = [torch.cat([image[row], both[place, :16]]) for place, row in enumerate(kept)]
            looks.append(torch.stack(seen).mean(0))
            lesions.append(torch.cat([looks[-1], both[0, 16:]]))
        phenotypes.append(torch.stack(lesions).mean(0))
    heads = model.objective
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(contrasts["image"].left_ND, heads.inner.image.left(image), **close)
    torch.testing.assert_close(contrasts["lesion"].left_ND, heads.middle.lesion.left(torch.stack(looks)), **close)
    torch.testing.assert_close(contrasts["patient"].left_ND, heads.outer.patient.left(torch.stack(phenotypes)), **close)
    assert {name: len(contrast.groups_N) for name, contrast in contrasts.items()} == {
        "image": 8,
        "lesion": 4,
        "patient": 3,
    }


@torch.inference_mode()
@given(seed=st.integers(0, 1000))
def test_the_order_of_a_lesions_pictures_and_of_a_patients_lesions_changes_no_loss(made, three, seed):
    model = PretrainedSLIMP(made).model
    rng, pictures = np.random.default_rng(seed), views()
    shuffled = ROWS.assign(row=range(len(ROWS)), one=rng.random(len(ROWS)))
    shuffled["two"] = shuffled.groupby(["patient_id", "lesion_id"])["one"].transform("max")
    order = shuffled.sort_values(["patient_id", "two", "one"], key=lambda c: c.map({"q": 0, "a": 1, "o": 2}).fillna(c))
    expected, _ = model(batch_of(three, ROWS, pictures))
    found, _ = model(batch_of(three, ROWS.iloc[order["row"]].reset_index(drop=True), pictures[order["row"].tolist()]))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_rows_are_contrasted_outside_training_as_within(made, three):
    encoder = PretrainedSLIMP(made)
    pictures = views()
    _, expected = encoder.model(batch_of(three, ROWS, pictures))
    found = encoder.contrast(encoder.model.image_encoder(pictures).numpy(), ROWS)
    assert found.keys() == expected.keys()
    for name, (left, right, groups) in found.items():
        np.testing.assert_allclose(left, expected[name].left_ND.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(right, expected[name].right_ND.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(groups, expected[name].groups_N.numpy())


def test_the_metadata_of_a_row_are_its_pictures_and_then_its_lesions(made):
    encoder = PretrainedSLIMP(made)
    both = encoder.encode_metadata(ROWS)
    assert both.shape == (8, 32) and both.dtype == np.float32
    other = encoder.encode_metadata(ROWS.assign(hair=0.8))
    assert (both[:, :16] != other[:, :16]).any() and (both[:, 16:] == other[:, 16:]).all()
    assert encoder.encode_patients(ROWS).shape == (8, 16)
    assert encoder.encode_phenotypes(np.zeros((8, 32), np.float32), ROWS).shape == (3, 32 + 16 + 16)


def test_phenotypes_need_to_know_which_pictures_show_one_lesion(made):
    with pytest.raises(ValueError, match="lesion_id must be there, in every row: with fields of the level image"):
        PretrainedSLIMP(made).encode_phenotypes(np.zeros((8, 32), np.float32), ROWS.drop(columns="lesion_id"))


def test_hidden_fields_of_pictures_are_told_again(model_settings, three):
    metadata = model_settings.metadata_encoder.model_copy(update={"field_dropout": 0.5})
    loss = LossParams(reconstruction_weight=1.0)
    torch.manual_seed(0)
    model = SLIMP(model_settings.model_copy(update={"metadata_encoder": metadata}), loss, three).train()
    losses, _ = model(batch_of(three, ROWS, views()))
    losses["loss_reconstruction"].backward()
    for level in ("image", "lesion", "patient"):
        assert model.reconstructions[level].heads.weight.grad.abs().sum() > 0


def test_a_checkpoint_of_three_levels_comes_back_whole_and_one_of_two_is_refused_its_weights(made, tmp_path, encoding):
    write_checkpoint(made, tmp_path / "three")
    encoder = load(tmp_path / "three")
    assert encoder.checkpoint.encoding == made.encoding
    np.testing.assert_array_equal(encoder.encode_metadata(ROWS), PretrainedSLIMP(made).encode_metadata(ROWS))
    assert "of the image: modality, hair; of the lesion: " in (tmp_path / "three/README.md").read_text()
    write_fingerprint(encoder, tmp_path / "three")
    check_fingerprint(encoder, tmp_path / "three")
    with pytest.raises(ValueError, match="the weights don't fit the network"):
        PretrainedSLIMP(replace(made, encoding=encoding))


def test_a_checkpoint_from_before_levels_and_weights_of_fields_loads_as_it_was(checkpoint, folder):
    told = json.loads((folder / ENCODING).read_text())
    assert told.pop("image") == {"fields": {}}
    for level in ("lesion", "patient", "nuisance"):
        for field in told[level]["fields"].values():
            assert field.pop("weight") == 1.0
    (folder / ENCODING).write_text(json.dumps(told))
    config = json.loads((folder / "config.json").read_text())
    assert config["slimp"]["loss"].pop("image_weight") == pytest.approx(1 / 3)
    (folder / "config.json").write_text(json.dumps(config))
    assert read_checkpoint(folder).encoding == checkpoint.encoding
    before, after = PretrainedSLIMP(checkpoint), load(folder)
    np.testing.assert_array_equal(before.encode_metadata(ROWS), after.encode_metadata(ROWS))
