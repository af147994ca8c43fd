"""The values of a space in which nothing is continuous, by number: so it is known which are left."""

import math
import random
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from slimp_pipeline.search.space import Values


class _Steps(NamedTuple):
    """The values of one setting, from `low` by `step` to `high`, as Optuna keeps them: a choice by its place."""

    drawn_from: BaseDistribution
    low: float
    high: float
    step: float

    @property
    def num(self) -> int:
        return round((self.high - self.low) / self.step) + 1


@dataclass(frozen=True)
class Grid:
    """The values of a space in which nothing is continuous. They have numbers, and are never listed: they may be many.

    Attributes:
        steps: The values of each setting.
    """

    steps: dict[str, _Steps]

    @classmethod
    def of(cls, space: Mapping[str, BaseDistribution]) -> "Grid | None":
        """The grid of what Optuna draws from; None where a setting is continuous, which always has a value left."""
        found = {}
        for name, values in space.items():
            if isinstance(values, CategoricalDistribution):
                found[name] = _Steps(values, 0, len(values.choices) - 1, 1)
            elif isinstance(values, FloatDistribution | IntDistribution) and values.step is not None:
                found[name] = _Steps(values, values.low, values.high, values.step)
            else:
                return None
        return cls(found)

    @property
    def size(self) -> int:
        """How many values there are."""
        return math.prod(steps.num for steps in self.steps.values())

    def number(self, values: Values) -> int:
        """The number of values, from 0; those that differ by rounding alone have the same."""
        number = 0
        for name, (drawn_from, low, _, step) in self.steps.items():
            position = round((drawn_from.to_internal_repr(values[name]) - low) / step)
            number = number * self.steps[name].num + position
        return number

    def values(self, number: int) -> Values:
        """The values that a number stands for."""
        found: Values = {}
        for name, (drawn_from, low, high, step) in reversed(self.steps.items()):
            number, position = divmod(number, self.steps[name].num)
            found[name] = drawn_from.to_external_repr(min(low + position * step, high))  # rounding may go beyond
        return {name: found[name] for name in self.steps}

    def one_left(self, tried: Set[int], seed: int) -> Values | None:
        """Draw from the values whose numbers weren't tried, each as likely; None where all were."""
        num_left = self.size - len(tried)
        if not num_left:
            return None
        number = random.Random(seed).randrange(num_left)  # NumPy's whole numbers end too early
        for taken in sorted(tried):
            number += taken <= number
        return self.values(number)
