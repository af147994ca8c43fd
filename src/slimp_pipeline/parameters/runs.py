"""Several runs: compared, repeated, tidied away."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from slimp_pipeline.parameters.block import Block


class ComparisonParams(Block):
    """Which runs are compared: label -> MLflow run ids, or versions of the predictions, of its seeds in order.

    On the command line, where there are no lists, spaces part the runs of a group.
    """

    groups: dict[str, list[str]] = {}

    @field_validator("groups", mode="before")
    @classmethod
    def _parted(cls, groups: Any) -> Any:
        if not isinstance(groups, dict):
            return groups
        return {label: runs.split() if isinstance(runs, str) else runs for label, runs in groups.items()}


class VariantParams(Block):
    """What sets one variant of a study apart."""

    label: str
    changes: dict[str, Any] = {}  # parameter (dotted, as on the command line) -> value


class StudyParams(Block):
    """A grid of runs: every variant with every seed, after the search if there is one."""

    seeds: list[int] = Field([0, 1, 2], min_length=1)
    variants: list[VariantParams] = []  # empty: the search alone

    @model_validator(mode="after")
    def _labels_differ(self) -> "StudyParams":
        labels = [variant.label for variant in self.variants]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"study.variants: the label {', '.join(twice)} stands twice")
        return self


class PruneParams(Block):
    """Which artifacts of earlier runs stay."""

    keep: int = Field(5, ge=1)  # last versions of every artifact; what they rest on stays, too
    remove: bool = False  # False: say what would be removed
