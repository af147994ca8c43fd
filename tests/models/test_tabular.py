"""The metadata encoder."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.models.tabular import FieldTokenizer, MetadataEncoder, hide_fields, known_fields
from slimp_pipeline.parameters import MetadataEncoderParams
from slimp_pipeline.tables.encoding import MISSING, UNSEEN, LevelEncoding, encode

SETTINGS = MetadataEncoderParams(dim=16, depth=1, num_heads=2)


def encoder_of(level: LevelEncoding, settings: MetadataEncoderParams = SETTINGS) -> MetadataEncoder:
    torch.manual_seed(0)
    return MetadataEncoder(level, settings)


def fields_of(level: LevelEncoding, *rows: dict) -> dict[str, torch.Tensor]:
    frame = pd.DataFrame(list(rows), dtype=object) if any(rows) else pd.DataFrame(index=range(len(rows)))
    return {name: torch.from_numpy(part) for name, part in encode(level, frame).items()}


FULL = {
    "diameter_mm": 6.0,
    "depth_mm": 2.0,
    "site": "back",
    "texture": "raised",
    "symptom.itch": True,
    "symptom.bleed": False,
    "change.grew": True,
    "change.colour": True,
    "change.shape": False,
}


@given(known=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4))
def test_no_pattern_of_missing_fields_gives_nan_forward_or_backward(lesion_level, known):
    encoder = encoder_of(lesion_level)
    rows = []
    for pattern in known:
        present = dict(zip(lesion_level.fields, pattern, strict=True))
        rows.append({name: value for name, value in FULL.items() if present[name.partition(".")[0]]})
    embedding = encoder(fields_of(lesion_level, *rows))
    assert embedding.shape == (len(known), 16)
    assert embedding.isfinite().all()
    embedding.pow(2).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_row_of_which_nothing_is_known_gives_the_learnt_vector_and_trains_it(lesion_level, mode):
    encoder = getattr(encoder_of(lesion_level), mode)()
    embedding = encoder(fields_of(lesion_level, {}, FULL, {"site": "moon"}))
    torch.testing.assert_close(embedding[0], encoder.nothing_known, rtol=0, atol=0)
    torch.testing.assert_close(embedding[2], encoder.nothing_known, rtol=0, atol=0)
    embedding[0].sum().backward()
    assert encoder.nothing_known.grad.tolist() == [1.0] * 16
    assert encoder.tokenizer.categories.weight.grad.abs().sum() == 0


def test_the_vector_of_unknown_rows_gets_no_gradient_from_known_ones(lesion_level):
    encoder = encoder_of(lesion_level)
    encoder(fields_of(lesion_level, FULL)).sum().backward()
    assert encoder.nothing_known.grad.abs().sum() == 0


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_missing_field_has_no_influence_whatever_its_weights_are(lesion_level, mode):
    encoder = getattr(encoder_of(lesion_level), mode)()
    partial = {"depth_mm": 2.0, "texture": "flat", "change.grew": True}
    fields = fields_of(lesion_level, partial)
    with torch.no_grad():
        before = encoder(fields)
        tokenizer = encoder.tokenizer
        for parameter in (tokenizer.numeric_in, tokenizer.numeric_out, tokenizer.numeric_out_bias):
            parameter[0] += 5.0  # diameter
        tokenizer.categories.weight[:5] += 5.0  # site
        tokenizer.options[:2] += 5.0  # symptom
        tokenizer.option_bias[0] += 5.0
        torch.testing.assert_close(encoder(fields), before, rtol=0, atol=0)
        tokenizer.option_bias[1] += 5.0  # change, which is known
        assert not torch.allclose(encoder(fields), before)


def test_other_rows_of_a_batch_have_no_influence(lesion_level):
    encoder = encoder_of(lesion_level).eval()
    alone = encoder(fields_of(lesion_level, FULL))
    for other in ({}, {"site": "arm"}, {**FULL, "diameter_mm": 90.0}):
        together = encoder(fields_of(lesion_level, other, FULL))[1]
        torch.testing.assert_close(together, alone[0], rtol=1e-5, atol=1e-6)


def test_the_order_of_rows_is_irrelevant(lesion_level):
    encoder = encoder_of(lesion_level)
    rows = [FULL, {}, {"site": "leg"}, {"diameter_mm": 0.0}]
    order = [2, 0, 3, 1]
    shuffled = encoder(fields_of(lesion_level, *[rows[i] for i in order]))
    torch.testing.assert_close(shuffled, encoder(fields_of(lesion_level, *rows))[order], rtol=1e-5, atol=1e-6)


def test_a_true_zero_differs_from_a_missing_number_and_from_the_mean(lesion_level):
    encoder = encoder_of(lesion_level)
    base = {"site": "arm"}
    rows = [{**base, "diameter_mm": 0.0}, base, {**base, "diameter_mm": 4.0}]
    zero, missing, mean = encoder(fields_of(lesion_level, *rows))
    assert not torch.allclose(zero, missing)
    assert not torch.allclose(mean, missing)
    assert not torch.allclose(zero, mean)


def test_a_group_with_nothing_ticked_differs_from_a_group_that_is_not_known(lesion_level):
    encoder = encoder_of(lesion_level)
    unticked = {"site": "arm", "symptom.itch": False, "symptom.bleed": False}
    first, second = encoder(fields_of(lesion_level, unticked, {"site": "arm"}))
    assert not torch.allclose(first, second)


def test_a_checkbox_token_is_the_sum_of_the_ticked_options(lesion_level):
    torch.manual_seed(0)
    tokenizer = FieldTokenizer(lesion_level, 16)
    tokens, known = tokenizer(fields_of(lesion_level, FULL))
    torch.testing.assert_close(tokens[0, 4], tokenizer.options[0] + tokenizer.option_bias[0])
    torch.testing.assert_close(tokens[0, 5], tokenizer.options[2] + tokenizer.options[3] + tokenizer.option_bias[1])
    assert known.all()


def test_numbers_and_categories_have_a_token_each_in_the_order_of_fields(lesion_level):
    torch.manual_seed(0)
    tokenizer = FieldTokenizer(lesion_level, 16)
    tokens, known = tokenizer(fields_of(lesion_level, {**FULL, "depth_mm": None}))
    hidden = torch.nn.functional.gelu(1.0 * tokenizer.numeric_in[0] + tokenizer.numeric_in_bias[0])  # (6 - 4) / 2
    torch.testing.assert_close(tokens[0, 0], hidden @ tokenizer.numeric_out[0] + tokenizer.numeric_out_bias[0])
    torch.testing.assert_close(tokens[0, 2], tokenizer.categories.weight[2 + 1])  # site: back
    torch.testing.assert_close(tokens[0, 3], tokenizer.categories.weight[5 + 2 + 1])  # texture: raised
    assert known.tolist() == [[True, False, True, True, True, True]]


def test_unseen_and_missing_categories_give_no_token(lesion_level):
    tokenizer = FieldTokenizer(lesion_level, 16)
    fields = fields_of(lesion_level, {"site": "moon", "texture": None})
    assert fields["categorical"].tolist() == [[UNSEEN, MISSING]]
    assert not tokenizer(fields)[1].any()


@pytest.mark.parametrize("rows", [0, 3])
def test_a_level_without_fields_gives_the_learnt_vector_to_every_row(rows):
    level = LevelEncoding(fields={})
    encoder = encoder_of(level)
    embedding = encoder(fields_of(level, *[{}] * rows))
    assert embedding.shape == (rows, 16)
    assert (embedding == encoder.nothing_known).all()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_any_depth_encodes_and_depth_zero_is_the_mean_of_the_known_tokens(lesion_level, depth):
    encoder = encoder_of(lesion_level, MetadataEncoderParams(dim=16, depth=depth, num_heads=2))
    fields = fields_of(lesion_level, {"site": "arm", "depth_mm": 1.0}, {})
    embedding = encoder(fields)
    assert embedding.shape == (2, 16)
    if depth == 0:
        tokens, _ = encoder.tokenizer(fields)
        torch.testing.assert_close(embedding[0], (tokens[0, 1] + tokens[0, 2]) / 2)


@pytest.mark.parametrize("kind", ["numeric", "categorical", "checkbox"])
def test_a_level_of_one_kind_of_field_encodes(lesion_level, kind):
    level = LevelEncoding(fields={name: lesion_level.fields[name] for name in lesion_level.names(kind)})
    encoder = encoder_of(level)
    embedding = encoder(fields_of(level, FULL, {}))
    assert np.isfinite(embedding.detach().numpy()).all()
    assert not torch.allclose(embedding[0], embedding[1])


def test_hidden_fields_are_known_ones_and_read_as_missing(lesion_level):
    fields = fields_of(lesion_level, *[FULL] * 200, {"site": "back"}, {})
    before = {name: part.clone() for name, part in fields.items()}
    torch.manual_seed(0)
    left, hidden = hide_fields(fields, 0.3)
    known = known_fields(fields)
    assert torch.equal(known_fields(left), known & ~hidden)
    assert not (hidden & ~known).any()
    assert hidden[:200].float().mean(0).tolist() == pytest.approx([0.3] * 6, abs=0.1)
    assert all(torch.equal(part.nan_to_num(7), before[name].nan_to_num(7)) for name, part in fields.items())


def test_hiding_nothing_or_everything_is_exact(lesion_level):
    fields = fields_of(lesion_level, FULL, {"site": "back"})
    assert not hide_fields(fields, 0.0)[1].any()
    assert not known_fields(hide_fields(fields, 1.0)[0]).any()


def weighted(level: LevelEncoding, **weights: float) -> LevelEncoding:
    return LevelEncoding(
        fields={
            name: field.model_copy(update={"weight": weights.get(name, 1.0)}) for name, field in level.fields.items()
        }
    )


def test_the_embedding_is_the_mean_of_the_known_tokens_weighted_as_the_cohort_says(lesion_level):
    settings = MetadataEncoderParams(dim=16, depth=0, num_heads=2)
    weights = {"depth_mm": 3.0, "site": 0.25, "symptom": 2.0}
    encoder = encoder_of(weighted(lesion_level, **weights), settings)
    known = {name: value for name, value in FULL.items() if name != "texture"}
    fields = fields_of(lesion_level, known)
    tokens = encoder.tokenizer(fields)[0][0]  # diameter, depth, site, texture, symptom, change
    of_token = [1.0, 3.0, 0.25, 0.0, 2.0, 1.0]
    expected = sum(weight * token for weight, token in zip(of_token, tokens, strict=True)) / sum(of_token)
    torch.testing.assert_close(encoder(fields)[0], expected)


@given(weight=st.floats(1e-3, 1e3), patterns=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1))
def test_weights_that_are_all_equal_change_no_bit(lesion_level, weight, patterns):
    alike = weighted(lesion_level, **dict.fromkeys(lesion_level.fields, weight))
    rows = []
    for pattern in patterns:
        present = dict(zip(lesion_level.fields, pattern, strict=True))
        rows.append({name: value for name, value in FULL.items() if present[name.partition(".")[0]]})
    fields = fields_of(lesion_level, *rows)
    assert torch.equal(encoder_of(alike)(fields), encoder_of(lesion_level)(fields))


def test_a_row_of_which_only_a_light_field_is_known_is_that_fields_token_and_its_gradient_is_finite(lesion_level):
    settings = MetadataEncoderParams(dim=16, depth=0, num_heads=2)
    encoder = encoder_of(weighted(lesion_level, site=1e-6), settings)
    fields = fields_of(lesion_level, {"site": "back"}, {})
    embedding = encoder(fields)
    torch.testing.assert_close(embedding[0], encoder.tokenizer(fields)[0][0, 2])
    embedding.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())
