"""Settings that a search chooses: which, from what, by which measure, for how long."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from slimp_pipeline.parameters.block import Block
from slimp_pipeline.parameters.model import ModelParams
from slimp_pipeline.parameters.training import CHANGES_NOTHING_LEARNT, TrainingParams

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Number = Annotated[int | float, Field(allow_inf_nan=False)]
Choice = bool | int | float | str | None
Metric = Literal[
    "balanced_accuracy", "macro_f1", "macro_auroc", "average_precision", "malignant_auroc",
    "malignant_average_precision", "pauc_above_80_tpr", "sensitivity_at_95_specificity",
]  # fmt: skip

_BLOCKS: dict[str, type[Block]] = {"model": ModelParams, "training": TrainingParams}
# Where and how fast a training runs; luck; a control; a path.
_NOT_SEARCHED = CHANGES_NOTHING_LEARNT | {
    "device", "mixed_precision", "images_per_pass", "seed", "shuffled_metadata", "weights",
}  # fmt: skip


class RangeParams(Block):
    """Values that one setting may take: numbers from `low` to `high`, or `choices`."""

    low: Number | None = None
    high: Number | None = None
    log: bool = False  # numbers are drawn evenly by their logarithm
    step: Number | None = Field(None, gt=0)  # between neighbouring numbers, from `low`
    choices: list[Choice] = []

    @property
    def values(self) -> list[Choice]:
        """All choices; of numbers both ends."""
        return self.choices or [self.low, self.high]

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "RangeParams":
        if self.choices:
            if self.model_fields_set != {"choices"}:
                raise ValueError("give either `choices`, or `low` and `high`")
            if len(set(self.choices)) < max(2, len(self.choices)):  # 1, 1.0 and true are one value
                raise ValueError("`choices` are two different values or more")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("give `low` and a greater `high`, or `choices`: [a, b]")
        elif self.log and (self.step is not None or self.low <= 0):
            raise ValueError("with `log`, `low` is above 0 and there is no `step`")
        return self


class SearchParams(Block):
    """A search for settings, on inner validation patients of training rows alone."""

    space: dict[str, RangeParams] = {}  # dotted name of a setting of `model` or `training`; empty: nothing is searched
    budget_hours: float | None = Field(None, gt=0)  # of computing, over all resumptions
    num_trials: int | None = Field(None, ge=1)  # at most so many; None: as the budget allows
    metric: Metric = "balanced_accuracy"  # of a linear probe on image embeddings
    validation_share: float = Field(0.2, gt=0, le=0.5)  # of the training patients
    seed: int = Field(0, ge=0)  # of the inner split and of the trials
    pruning: bool = True  # trials that are worse than the median of earlier ones end early
    num_startup_trials: int = Field(5, ge=1)  # drawn at random, and not pruned

    @model_validator(mode="after")
    def _is_a_search(self) -> "SearchParams":
        for name, values in self.space.items():
            _check(name, values)
        if self.space and self.budget_hours is None:
            raise ValueError(
                "budget_hours is missing: a search goes on for ever without. Write how many hours it may compute: "
                "search.budget_hours=1.0"
            )
        return self


def is_whole(name: str) -> bool:
    """Whether a setting is a whole number, or may be one of none."""
    return int in _kinds(_field(name))


def _check(name: str, values: RangeParams) -> None:
    """Refuse a name that isn't searched, and a value that the setting itself refuses."""
    field = _field(name)
    if name.split(".")[-1] in _NOT_SEARCHED:
        raise ValueError(f"space: {name} isn't searched: it is no matter of tuning. Compare by study.variants instead")
    is_number = bool({int, float} & _kinds(field))
    if not values.choices and not is_number:
        raise ValueError(f"space: {name} is no number: give its `choices`")
    allowed: Any = Annotated[field.annotation, field]
    for value in values.values:
        try:
            TypeAdapter(allowed).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"space: {name} can't be {value!r}: {error.errors()[0]['msg']}") from error
    if values.step is not None and int in _kinds(field) and values.step != math.floor(values.step):
        raise ValueError(f"space: {name} is a whole number, and its step is {values.step}")


def _field(name: str) -> "FieldInfo":
    """Field of a setting, by its dotted name."""
    block, *path = name.split(".")
    fields: Any = _BLOCKS[block].model_fields if block in _BLOCKS else {}
    found = None
    for key in path:
        found = fields.get(key)
        fields = getattr(found.annotation if found else None, "model_fields", {})
    if found is None:
        raise ValueError(
            f"space: there is no setting {name}. Settings of `model` and `training` can be searched, as "
            "training.learning_rate"
        )
    if fields:
        raise ValueError(f"space: {name} is a block. Name one of its settings: {', '.join(fields)}")
    return found


def _kinds(field: "FieldInfo") -> set[Any]:
    """Types that a field may have; `bool` is none of numbers."""
    return {field.annotation, *getattr(field.annotation, "__args__", ())}
