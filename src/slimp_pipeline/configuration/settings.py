"""Wrong settings and wrong descriptions of cohorts, with their places."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.configuration.names import close_to
from slimp_pipeline.configuration.places import Places
from slimp_pipeline.parameters import BLOCKS

ROLES = {"source": "source_cohort", "target": "target_cohort", "downloaded": "cohort"}  # and what says who plays them


def setting_problems(parameters: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Say of every setting, and of the cohorts in all roles, what is wrong and where it stands.

    Args:
        parameters: All parameters, merged and resolved.
        places: Where they were set.

    Yields:
        A line for each problem.
    """
    try:
        wrong = _wrong_settings(parameters)
    except KeyError as error:
        wrong = [f"the block `{error.args[0]}` is missing: a file conf/base/parameters_*.yml should hold it"]
    for problem in wrong:
        setting = problem.split(": ", 1)[0]
        place = places.find([int(part) if part.isdecimal() else part for part in setting.split(".")])
        yield f"{problem} ({place})" if place else problem
    for role, chosen in ROLES.items():
        cohort = parameters.get(role, {}).get("cohort")
        if isinstance(cohort, Mapping):
            yield from _cohort_problems(role, chosen, cohort, places)
        else:
            words = f"{role}.cohort holds what is changed in a cohort; which one it is, is said by {chosen}"
            yield f"{words} ({places.find([role, 'cohort'])})"


def _cohort_problems(role: str, chosen: str, cohort: Mapping[str, Any], places: Places) -> Iterator[str]:
    try:
        CohortSpec.model_validate(cohort)
    except ValidationError as error:
        name, _ = places.value(chosen)
        for problem in error.errors():
            loc = problem["loc"]
            whole = places.find([name, *loc]) if problem["type"] == "missing" or not loc else ""
            words = _in_words(problem["type"], problem["msg"], problem["input"], str((loc or ("",))[-1]))
            if not words.startswith("cohort "):
                setting = ".".join(map(str, loc))
                words = f"cohort {cohort.get('name', name)}: " + (f"{setting}: {words}" if setting else words)
            yield f"{whole or places.find([role, 'cohort', *loc])}: {words}"


def _in_words(kind: str, message: str, given: Any, name: str) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"there is no such key.{close_to(name, _keys(CohortSpec))}"
    if kind == "string_type" and not isinstance(given, dict | list):
        return f"should be a text, not {given!r}: put it in quotes"
    if kind == "value_error":
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    shown = repr(given)
    return f"{message}, not {shown if len(shown) <= 80 else shown[:77] + '...'}"


def _keys(model: type[BaseModel]) -> set[str]:
    """Names of a model's fields, and of the fields of the models in it."""
    keys = set(model.model_fields)
    waiting = [field.annotation for field in model.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation is not model:
            keys |= _keys(annotation)
        waiting += get_args(annotation)
    return keys


def _wrong_settings(parameters: Mapping[str, Any]) -> list[str]:
    """Say of every setting that isn't one, or has a wrong value, which it is and why; whatever reads it."""
    found = []
    for name, block in BLOCKS.items():
        try:
            block.model_validate(parameters[name])
        except ValidationError as error:
            for problem in error.errors():
                setting = ".".join(map(str, (name, *problem["loc"])))
                if problem["type"] == "extra_forbidden":
                    meant = close_to(str(problem["loc"][-1]), _keys(block))
                    found.append(f"{setting}: there is no such setting{f'.{meant}' if meant else ''}")
                else:
                    given = f", not {problem['input']!r}" if problem["loc"] else ""
                    found.append(f"{setting}: {problem['msg'].removeprefix('Value error, ')}{given}")
    return found
