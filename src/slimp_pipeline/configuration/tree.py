"""Slips that YAML takes without a word: names that stand twice, tags, texts that became anchors."""

import re
from collections.abc import Iterator

import yaml

from slimp_pipeline.configuration.rules import Loader

_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}
_MERGE = "tag:yaml.org,2002:merge"
_ODD_SPACE = re.compile("[\u00a0\u200b\ufeff]")


def tree_slips(root: yaml.Node, text: str) -> Iterator[tuple[int, str]]:
    """Go through a composed file.

    Args:
        root: The file's tree; where aliases make nodes stand in several places, they are looked at once.
        text: The file.

    Yields:
        Number of the line, from 1, and what is wrong in it.
    """
    if "&" in text or "! " in text:
        yield from _lost_starts(text)
    seen: set[int] = set()
    open_nodes: list[yaml.Node] = [root]
    while open_nodes:
        node = open_nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield from _wrong_tag(node)
        if isinstance(node, yaml.MappingNode):
            yield from _wrong_names(node)
            open_nodes += [child for pair in node.value for child in pair if child.tag != _MERGE]
        elif isinstance(node, yaml.SequenceNode):
            open_nodes += node.value


def line_of(node: yaml.Node) -> int:
    """Number of the line in which a node starts, from 1."""
    return int(node.start_mark.line) + 1


def _wrong_tag(node: yaml.Node) -> Iterator[tuple[int, str]]:
    if node.tag in _PLAIN_TAGS:
        return
    if node.tag in ("tag:yaml.org,2002:value", _MERGE):
        yield line_of(node), f"`{node.value}` alone has a meaning of its own in YAML: put it in quotes"
    else:
        name = node.tag.replace("tag:yaml.org,2002:", "!!")
        yield line_of(node), f"`{name}`: tags aren't read. If the ! belongs to a text, put the text in quotes"


def _wrong_names(node: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    first: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        line = line_of(key)
        if not isinstance(key, yaml.ScalarNode):
            yield line, 'a name may not be a list or a block of its own; an interpolation needs quotes: "${...}"'
        elif key.tag != _MERGE:
            if earlier := first.get((key.tag, key.value)):
                yield (
                    line,
                    f"`{key.value}` stands twice, in lines {earlier} and {line}: only one counts, remove the other",
                )
            first.setdefault((key.tag, key.value), line)
            yield from _misread_name(key, value)


def _misread_name(key: yaml.ScalarNode, value: yaml.Node) -> Iterator[tuple[int, str]]:
    if key.style:
        return
    empty = isinstance(value, yaml.ScalarNode) and not value.value and not value.style
    if empty and ":" in key.value:
        name, rest = key.value.split(":", 1)
        yield line_of(key), f"a space is missing after the colon: {name}: {rest}"
    if key.value != key.value.strip() or _ODD_SPACE.search(key.value):
        words = f"the name `{key.value.strip()}` holds a special space (copied from a web page?): type it anew"
        yield line_of(key), words


def _lost_starts(text: str) -> Iterator[tuple[int, str]]:
    """`&Co clinic` is the text `clinic` with the anchor `Co`: an anchor that nothing refers to was meant as text."""
    events = list(yaml.parse(text, Loader=Loader))
    used = {event.anchor for event in events if isinstance(event, yaml.AliasEvent)}
    for event in events:
        if isinstance(event, yaml.ScalarEvent):
            lost = f"&{event.anchor}" if event.anchor and event.anchor not in used else ""
            if lost := lost or ("!" if event.tag == "!" else ""):
                line = event.start_mark.line + 1 if event.start_mark else 1
                yield line, f"`{lost}` is left out of the text that it stands before: put the text in quotes"
