"""Spaces: what is refused, what is drawn from, and settings with values of it."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from slimp_pipeline.parameters import ModelParams, RangeParams, SearchParams, TrainingParams
from slimp_pipeline.search.space import distributions, present_values, with_values

LOG = {"low": 1e-4, "high": 1e-2, "log": True}


def search(space):
    return SearchParams.model_validate({"space": space, "budget_hours": 1})


def test_numbers_whole_numbers_and_choices_become_what_optuna_draws_from():
    space = search(
        {
            "training.learning_rate": LOG,
            "training.loss.lesion_weight": {"low": 0, "high": 1, "step": 0.25},
            "model.projection_dim": {"low": 16, "high": 64, "step": 16},
            "training.sampler.patients_per_batch": {"low": 4, "high": 64, "log": True},
            "model.pooling": {"choices": ["mean", "max"]},
        }
    ).space
    assert distributions(space) == {
        "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "training.loss.lesion_weight": FloatDistribution(0, 1, step=0.25),
        "model.projection_dim": IntDistribution(16, 64, step=16),
        "training.sampler.patients_per_batch": IntDistribution(4, 64, log=True),
        "model.pooling": CategoricalDistribution(["mean", "max"]),
    }


def test_a_number_that_yaml_takes_for_a_text_is_a_number():
    values = search({"training.learning_rate": {"low": "1e-4", "high": "1e-2"}}).space["training.learning_rate"]
    assert (values.low, values.high) == (1e-4, 1e-2)


REFUSED = {
    "there is no setting training.learning_rat": {"training.learning_rat": LOG},
    "there is no setting features.fields": {"features.fields": {"choices": ["all", "always_present"]}},
    "there is no setting training.seed.deeper": {"training.seed.deeper": LOG},
    "there is no setting model": {"model": {"choices": [1, 2]}},
    "training.loss is a block. Name one of its settings: objective": {"training.loss": {"choices": [1, 2]}},
    "training.seed isn't searched": {"training.seed": {"choices": [0, 1]}},
    "training.device isn't searched": {"training.device": {"choices": ["cpu", "cuda"]}},
    "training.shuffled_metadata isn't searched": {"training.shuffled_metadata": {"choices": [True, False]}},
    "model.image_encoder.weights isn't searched": {"model.image_encoder.weights": {"choices": ["random", "hub"]}},
    "training.learning_rate can't be 0: Input should be greater": {"training.learning_rate": {"low": 0, "high": 1}},
    "training.loss.lesion_weight can't be 1.5": {"training.loss.lesion_weight": {"low": 0.5, "high": 1.5}},
    "model.pooling can't be 'meen'": {"model.pooling": {"choices": ["mean", "meen"]}},
    "model.pooling is no number: give its `choices`": {"model.pooling": {"low": 0, "high": 1}},
    "model.projection_dim can't be 16.5": {"model.projection_dim": {"low": 16.5, "high": 64}},
    "model.projection_dim is a whole number, and its step": {
        "model.projection_dim": {"low": 8, "high": 9, "step": 0.5}
    },
    "give `low` and a greater `high`": {"training.learning_rate": {"low": 1, "high": 1}},
    "give either `choices`": {"training.learning_rate": {"low": 0.1, "choices": [0.1, 0.2]}},
    "`choices` are two different values": {"training.learning_rate": {"choices": [0.1, 0.1]}},
    "`choices` are two different values or more": {"training.loss.lesion_weight": {"choices": [1, 1.0]}},
    "with `log`, `low` is above 0": {"training.loss.lesion_weight": {"low": 0, "high": 1, "log": True}},
    "finite number": {"training.learning_rate": {"low": 0.1, "high": float("inf")}},
}


@pytest.mark.parametrize(("words", "space"), REFUSED.items())
def test_what_cannot_be_searched_is_refused_in_words(words, space):
    with pytest.raises(ValidationError) as refused:
        search(space)
    assert words in str(refused.value)


def test_a_search_without_a_budget_is_refused_and_one_of_nothing_needs_none():
    with pytest.raises(ValidationError, match=r"search\.budget_hours=1\.0"):
        SearchParams.model_validate({"space": {"training.learning_rate": LOG}})
    assert SearchParams().space == {}


def test_values_take_their_settings_places_and_the_others_stay():
    model, training = with_values(
        {"model.metadata_encoder.dim": 64, "training.loss.lesion_weight": 0.25}, ModelParams(), TrainingParams()
    )
    assert model == ModelParams(metadata_encoder={"dim": 64})
    assert training == TrainingParams(loss={"lesion_weight": 0.25})


def test_values_that_contradict_the_other_settings_are_refused():
    with pytest.raises(ValueError, match=r"^metadata_encoder: dim 128 is not a multiple"):
        with_values({"model.metadata_encoder.num_heads": 3}, ModelParams(), TrainingParams())


@pytest.mark.parametrize(
    ("space", "present"),
    [
        ({"low": 1e-4, "high": 1e-2}, 5e-4),
        ({"low": 1e-3, "high": 1e-2}, None),
        ({"low": 1e-4, "high": 1e-3, "step": 2e-4}, 5e-4),
        ({"low": 1e-4, "high": 1e-3, "step": 3e-4}, None),
        ({"choices": [1e-4, 5e-4]}, 5e-4),
        ({"choices": [1e-4, 1e-3]}, None),
    ],
)
def test_settings_as_they_are_are_known_where_they_lie_in_the_space(space, present):
    space = {"training.learning_rate": RangeParams.model_validate(space)}
    expected = None if present is None else {"training.learning_rate": present}
    assert present_values(space, ModelParams(), TrainingParams()) == expected


def test_a_setting_that_is_none_lies_in_no_range():
    space = {"training.image_learning_rate": RangeParams(low=1e-4, high=1e-2)}
    assert present_values(space, ModelParams(), TrainingParams()) is None
