"""Which values settings may take, as Optuna takes them, and settings with such values."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ValidationError

from slimp_pipeline.parameters import ModelParams, RangeParams, TrainingParams
from slimp_pipeline.parameters.search import Choice, is_whole

Values = dict[str, Choice]
"""Dotted name of a setting -> its value."""


def distributions(space: Mapping[str, RangeParams]) -> dict[str, BaseDistribution]:
    """What Optuna draws values from."""
    return {name: _distribution(values, whole=is_whole(name)) for name, values in space.items()}


def with_values(
    values: Mapping[str, Choice], model: ModelParams, training: TrainingParams
) -> tuple[ModelParams, TrainingParams]:
    """Settings with some values changed.

    Raises:
        ValueError: If values contradict one another or the other settings.
    """
    settings: dict[str, Any] = {"model": model.model_dump(), "training": training.model_dump()}
    for name, value in values.items():
        *path, key = name.split(".")
        place = settings
        for part in path:
            place = place[part]
        place[key] = value
    try:
        return ModelParams.model_validate(settings["model"]), TrainingParams.model_validate(settings["training"])
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ValueError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from error


def present_values(space: Mapping[str, RangeParams], model: ModelParams, training: TrainingParams) -> Values | None:
    """The values of the settings as they are; None where one of them lies outside the space."""
    values: Values = {}
    for name, allowed in space.items():
        value: Any = {"model": model, "training": training}
        for key in name.split("."):
            value = value[key] if isinstance(value, dict) else getattr(value, key)
        if not _contains(allowed, value):
            return None
        values[name] = value
    return values


def _distribution(values: RangeParams, *, whole: bool) -> BaseDistribution:
    if values.choices:
        return CategoricalDistribution(values.choices)
    assert values.low is not None and values.high is not None  # as they are checked
    if whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=int(values.step or 1))
    return FloatDistribution(float(values.low), float(values.high), log=values.log, step=values.step)


def _contains(values: RangeParams, value: Any) -> bool:
    if values.choices:
        return value in values.choices
    if value is None or not values.low <= value <= values.high:
        return False
    steps = (value - values.low) / values.step if values.step else 0.0
    return abs(steps - round(steps)) < 1e-8
