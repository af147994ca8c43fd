"""Where a setting was set: dotted name -> file and line."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from slimp_pipeline.cohorts.combined import joint_name, names_of
from slimp_pipeline.configuration.files import ConfFile
from slimp_pipeline.configuration.tree import line_of

_COMMAND_LINE = "--params"
_REFERENCE = re.compile(r"\$\{([\w.-]+)\}")
_ROLE = re.compile(r"\$\{runtime_params:\s*(\w+)")


class Places:
    """Finds the file and line of a setting, or of the innermost block around it.

    Args:
        files: Files of `base` and of the environment, which wins.
        runtime_params: Parameters of the command line, which win over both.
    """

    def __init__(self, files: Sequence[ConfFile], runtime_params: Mapping[str, Any]) -> None:
        self._files = sorted(files, key=lambda file: file.env == "base")  # the environment's first
        self._runtime_params = runtime_params

    def find(self, path: Sequence[str | int]) -> str:
        """Return the place of a setting as it is shown, or "" where no file sets anything of it.

        Args:
            path: Names from the top, and numbers of list items: ("training", "loss", "objective").
        """
        depth, place = self._given(path)
        for file in self._files:
            for key, value in file.entries:
                if path and key.value == str(path[0]):
                    found = self._within(file, key, value, path[1:], depth=1)
                    depth, place = max((depth, place), found, key=lambda pair: pair[0])
        return place

    def value(self, name: str) -> tuple[str, str]:
        """Value of a top-level setting as written, a list joined by `+`; and its place. Empty where nothing sets it."""
        if name in self._runtime_params:
            given = self._runtime_params[name]
            return "" if given is None else _as_text(given), _COMMAND_LINE
        for file in self._files:
            for key, value in file.entries:
                if key.value == name and isinstance(value, yaml.ScalarNode):
                    return value.value, f"{file.name}, line {line_of(key)}"
                if key.value == name and isinstance(value, yaml.SequenceNode):
                    return _as_text([item.value for item in value.value]), f"{file.name}, line {line_of(key)}"
        return "", ""

    def _given(self, path: Sequence[str | int]) -> tuple[int, str]:
        depth, within = 0, self._runtime_params
        while depth < len(path) and isinstance(within, Mapping) and path[depth] in within:
            within = within[path[depth]]  # type: ignore[index]
            depth += 1
        return depth, _COMMAND_LINE if depth else ""

    def _within(
        self, file: ConfFile, key: yaml.Node, node: yaml.Node, path: Sequence[str | int], depth: int
    ) -> tuple[int, str]:
        """Follow a path down a tree, and across `${...}`, as far as it goes."""
        here = depth, f"{file.name}, line {line_of(key)}"
        if isinstance(node, yaml.ScalarNode) and "${" in node.value:
            return max(
                here, self._across(node.value, path, depth), key=lambda pair: (pair[0], pair[1] == _COMMAND_LINE)
            )
        if not path:
            return here
        if isinstance(node, yaml.SequenceNode) and isinstance(path[0], int) and path[0] < len(node.value):
            item = node.value[path[0]]
            return self._within(file, item, item, path[1:], depth + 1)
        for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(name, yaml.ScalarNode) and name.value == str(path[0]):
                return self._within(file, name, value, path[1:], depth + 1)
        return here

    def _across(self, reference: str, path: Sequence[str | int], depth: int) -> tuple[int, str]:
        if role := _ROLE.search(reference):
            target, _ = self.value(role[1])
            if len(names_of(target)) > 1 and len(path) > 1 and path[0] == "members":
                target, path = str(path[1]), path[2:]
        elif simple := _REFERENCE.fullmatch(reference):
            target = simple[1]
        else:
            return 0, ""
        names = target.split(".")
        given, place = self._given([*names, *path])
        if given >= len(names):
            return given - len(names) + depth, place
        for file in self._files if target else ():
            for key, value in file.entries:
                if key.value == names[0]:
                    found, place = self._within(file, key, value, [*names[1:], *path], 1)
                    return found - len(names) + depth, place
        return 0, ""


def _as_text(given: Any) -> str:
    return joint_name([str(name) for name in given]) if isinstance(given, list) else str(given)
