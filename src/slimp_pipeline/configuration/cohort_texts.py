"""Texts of a cohort's description that YAML turns into something else: `no` into False, `007` into 7."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.configuration.rules import value_of
from slimp_pipeline.configuration.tree import line_of

_STR, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
_PATHS = {"folder", "file", "sources", "split_file", "decisions"}
_NOT_IN_PATHS = re.compile("[\x00-\x1f\x7f-\x9f\xa0\u2028\u2029]")
_CURLY = re.compile("[“”„‟‘’‚«»].*[“”‟‘’«»]", re.DOTALL)
_PAIRS = {
    "leaks": "leaks: {column: why it gives the label away}",
    "fields": "fields: {age_years: {kind: numeric, level: patient, column: age}}",
    "options": "options: {option: column}",
    "label": "label: {column: diagnosis}",
    "images": "images: {sources: [photos]}",
}

Found = Iterator[tuple[int, str]]


def cohort_slips(block: yaml.Node) -> Found:
    """Check the texts of a cohort, or of what an environment changes in one, against what was written.

    A text without quotes is fine where Python's `str` of what YAML makes of it gives the same text (True, 1, 1.0).

    Yields:
        Number of the line, from 1, and what is wrong in it.
    """
    yield from _block(CohortSpec, block)


def _block(model: type[BaseModel], node: yaml.Node) -> Found:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if field := model.model_fields.get(str(key.value)):
            yield from _value(field.annotation, key.value, value)
        elif isinstance(value, yaml.ScalarNode) and not value.value and not value.style:
            hint = "a list is written in square brackets, [a, b]; a number with a point, 1.5"
            yield line_of(key), f"`{key.value}` stands alone among names: {hint}"


def _value(annotation: Any, name: str, node: yaml.Node) -> Found:
    for kind in _alternatives(annotation):
        origin = get_origin(kind) or kind
        if origin in (str, Path) and isinstance(node, yaml.ScalarNode):
            yield from _text(name, node, may_be_null=True)
        elif origin in (int, float) and isinstance(node, yaml.ScalarNode):
            yield from _number(name, node)
        elif origin is list:
            yield from _list(get_args(kind)[0], name, node)
        elif origin is dict:
            yield from _pairs(get_args(kind)[1], name, node)
        elif isinstance(origin, type) and issubclass(origin, BaseModel):
            yield from _mapping_is_meant(name, node)
            yield from _block(origin, node)


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for kind in get_args(annotation):
            yield from _alternatives(kind)
    else:
        yield annotation


def _list(item: Any, name: str, node: yaml.Node) -> Found:
    is_text = item is str
    if isinstance(node, yaml.SequenceNode):
        for element in node.value:
            if not is_text:
                yield from _value(item, name, element)
            elif isinstance(element, yaml.ScalarNode):
                yield from _text(name, element, may_be_null=False)
                if not element.style and element.end_mark.line > element.start_mark.line:
                    yield line_of(element), f"`{name}`: two lines are read as one text: a comma or a `- ` is missing"
            else:
                yield line_of(element), f"`{name}` lists texts, and {_written(element)} is none: quote it"
    elif is_text and isinstance(node, yaml.ScalarNode):
        yield from _text(name, node, may_be_null=True)
        if not node.style and "," in node.value and "${" not in node.value:
            yield line_of(node), f"`{name}`: a list is written in square brackets: {name}: [{node.value}]"
    elif is_text:
        yield line_of(node), f"`{name}` is a list, in square brackets: {name}: [a, b]"


def _pairs(item: Any, name: str, node: yaml.Node) -> Found:
    yield from _mapping_is_meant(name, node)
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield from _text(name, key, may_be_null=False)
        if item is str and isinstance(value, yaml.ScalarNode):
            yield from _text(name, value, may_be_null=False)
        elif item is str:
            yield line_of(value), f"`{name}` pairs texts, and {_written(value)} is none: quote it"
        else:
            yield from _value(item, str(key.value), value)


def _mapping_is_meant(name: str, node: yaml.Node) -> Found:
    is_text = isinstance(node, yaml.ScalarNode) and node.tag != _NULL and "${" not in node.value
    if is_text or isinstance(node, yaml.SequenceNode):
        example = _PAIRS.get(name, f"{name}: {{text of the table: what it is called here}}")
        yield line_of(node), f"`{name}` is written with names, as in {example}"


def _text(name: str, node: yaml.ScalarNode, *, may_be_null: bool) -> Found:
    line, written = line_of(node), node.value
    if node.style:
        if name in _PATHS and node.style == '"' and _NOT_IN_PATHS.search(written):
            yield line, f"`{name}`: in double quotes a backslash starts a special character. Use single quotes or /"
    elif node.tag == _STR:
        if _CURLY.fullmatch(written):
            yield line, f"`{name}`: {written}: typographic quotes belong to the text; write straight ones"
    elif node.tag == _NULL:
        if not may_be_null and not written:
            yield line, f"`{name}`: a text is missing here"
        elif not may_be_null:
            unknown = '; where it means "not known", list the other text under `missing`' if name == "rename" else ""
            yield line, f'`{name}`: {written} without quotes is nothing to YAML: put it in quotes, "{written}"{unknown}'
    elif (read := _read_as(node)) != written:
        yield line, f'`{name}`: YAML reads {written} as {read}: put it in quotes, "{written}"'


def _number(name: str, node: yaml.ScalarNode) -> Found:
    """Numbers that are others than they look: 0120 is 80 to YAML, and 1:10 is 70."""
    if not node.style and re.fullmatch(r"[-+]?(0[0-7_]+|[0-9_]+(:[0-9_.]+)+)", node.value):
        yield line_of(node), f"`{name}`: YAML reads {node.value} as {_read_as(node)}: write the number in plain digits"


def _read_as(node: yaml.ScalarNode) -> str:
    try:
        return str(value_of(node))
    except (ValueError, yaml.YAMLError):
        return "a number that isn't one"


def _written(node: yaml.Node) -> str:
    """What stands there, where it is short enough to be shown."""
    if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
        key, value = node.value[0]
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode):
            return f"`{key.value}: {value.value}`"
    return "this list or block"
