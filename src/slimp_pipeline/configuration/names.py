"""Names that stand at the top of files, or are given on the command line, and don't exist or exist twice."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.configuration.files import ConfFile
from slimp_pipeline.configuration.slips import Slip
from slimp_pipeline.configuration.tree import line_of

_STR = "tag:yaml.org,2002:str"
_COHORTS = "/parameters/cohorts/"
_NAMES_OF_COHORTS = set(CohortSpec.model_fields) - {"source"}  # `source` is a role, too


def require_environment(conf: Path, env: str) -> None:
    """Refuse an environment that has no folder.

    Raises:
        ValueError: With the environments there are.
    """
    if (conf / env).is_dir():
        return
    if env == "local":
        raise ValueError(f"the folder {conf.name}/local is missing; it may be empty: mkdir {conf.name}/local")
    known = sorted(path.name for path in conf.iterdir() if path.is_dir() and path.name not in ("base", "local"))
    near = close_to(env, known)
    raise ValueError(f"there is no environment '{env}'.{near} Known in {conf.name}/: {', '.join(known)}.")


def cohorts(files: Iterable[ConfFile]) -> dict[str, tuple[ConfFile, yaml.ScalarNode, yaml.Node]]:
    """Cohorts that the files describe: file, top-level key and block by name."""
    return {
        key.value: (file, key, block)
        for file in files
        if file.kind == "parameters"
        for key, block in file.entries
        if isinstance(block, yaml.MappingNode)
        and key.value[:1] != "_"
        and ("image_id" in _names(block) or _COHORTS in file.name)
    }


def name_slips(files: Sequence[ConfFile], runtime_params: Mapping[str, Any]) -> Iterator[Slip]:
    """Go through the top-level names: what stands twice, at the wrong margin, or is misspelt.

    Args:
        files: Files of `base` and of the environment.
        runtime_params: Parameters of the command line.

    Yields:
        What is wrong, with the file or `--params`.
    """
    for file in files:
        yield from _odd_names(file)
    yield from _twice(files)
    yield from _lists_over_blocks(files)
    yield from _other_names(files)
    parameters = [file for file in files if file.kind in ("parameters", "globals")]
    base = {key.value for file in parameters if file.env == "base" for key, _ in file.entries}
    known, described = set(base), cohorts(files)
    for file in parameters:
        for key, _ in file.entries if file.env != "base" else ():
            known.add(key.value)
            if key.value not in described and key.value not in base and (near := close_to(key.value, base, 0.8)):
                yield Slip(file.name, line_of(key), f"there is no parameter '{key.value}'.{near}")
    if "data" in runtime_params:
        yield Slip(
            "--params", None, "`data` is set by SLIMP_DATA, or in conf/<env>/globals.yml: the catalog asks there"
        )
    for name in sorted(set(runtime_params) - known):
        hint = close_to(name, known) or f" Known: {', '.join(sorted(known))}."
        yield Slip("--params", None, f"there is no parameter '{name}'.{hint}")


def close_to(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that names what resembles a name, or nothing."""
    by_lower_case = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=2, cutoff=cutoff)
    return f" Did you mean {' or '.join(repr(by_lower_case[other]) for other in near)}?" if near else ""


def _names(block: yaml.MappingNode) -> set[str]:
    return {key.value for key, _ in block.value if isinstance(key, yaml.ScalarNode)}


def _odd_names(file: ConfFile) -> Iterator[Slip]:
    for key, value in file.entries:
        if not key.value:
            yield Slip(file.name, line_of(key), "a name is empty: write it before the colon, or remove the line")
            continue
        if key.tag != _STR and file.kind != "other":
            words = f'{key.value} without quotes isn\'t read as a name: put it in quotes, "{key.value}"'
            yield Slip(file.name, line_of(key), words)
        if _COHORTS not in file.name:
            continue
        if key.value in _NAMES_OF_COHORTS or (key.value == "source" and not isinstance(value, yaml.MappingNode)):
            words = (
                f"`{key.value}` stands at the margin: write the cohort's name and a colon above, and indent the rest"
            )
            yield Slip(file.name, line_of(key), words)
        elif set("./\\") & set(key.value):
            words = f"a cohort's name is made of letters, digits, - and _: {key.value}"
            yield Slip(file.name, line_of(key), words)


def _twice(files: Iterable[ConfFile]) -> Iterator[Slip]:
    """Kedro merges the files of an environment; of parameters it refuses a setting that two of them hold."""
    seen: dict[tuple[str, str, str], tuple[ConfFile, int]] = {}
    for file in files:
        whole = cohorts([file])
        names = {name: line for name, line in _leaves(file) if name.split(".")[0] not in whole and name[:1] != "_"}
        names |= {name: line_of(key) for name, (_, key, _) in whole.items()}
        for name, line in names.items() if file.kind != "other" else ():
            earlier, at = seen.setdefault((file.env, file.kind, name), (file, line))
            if earlier is not file:
                yield Slip(file.name, line, f"`{name}` stands in {earlier.name}, line {at}, too: remove one of them")


def _other_names(files: Iterable[ConfFile]) -> Iterator[Slip]:
    """Two cohorts of one name would be taken for one: in splits, results, and the check for leaks."""
    for key, (file, _, block) in cohorts(files).items():
        for entry, value in block.value if isinstance(block, yaml.MappingNode) else ():
            if (
                entry.value == "name"
                and isinstance(value, yaml.ScalarNode)
                and value.value not in (key, f"${{{key}.name}}")
            ):
                words = f"the cohort `{key}` calls itself `{value.value}`: a copied `name`? Write name: {key}"
                yield Slip(file.name, line_of(entry), words)


def _lists_over_blocks(files: Iterable[ConfFile]) -> Iterator[Slip]:
    """An environment is merged into `base` name by name; a list and a block have no names in common."""
    seen: dict[tuple[str, ...], tuple[ConfFile, yaml.Node, yaml.Node]] = {}
    for file in files:
        waiting: list[tuple[tuple[str, ...], yaml.Node, yaml.Node]] = []
        waiting += [((file.kind, key.value), key, value) for key, value in file.entries if file.kind != "other"]
        for path, key, value in waiting:  # grows on the way
            if isinstance(value, yaml.MappingNode):
                waiting += [((*path, str(name.value)), name, below) for name, below in value.value]
            if isinstance(value, yaml.ScalarNode):
                continue
            earlier, place, other = seen.setdefault(path, (file, key, value))
            if earlier.env != file.env and type(other) is not type(value):
                one, two = ("list", "block") if isinstance(value, yaml.SequenceNode) else ("block", "list")
                words = f"`{path[-1]}` is a {one} here and a {two} in {earlier.name}, line {line_of(place)}"
                yield Slip(file.name, line_of(key), words)


def _leaves(file: ConfFile) -> Iterator[tuple[str, int]]:
    """Dotted names of what is no block, with their lines; of other files than parameters the top-level names."""
    for key, value in file.entries:
        if file.kind == "parameters" and isinstance(value, yaml.MappingNode):
            yield from _below(key.value, value)
        else:
            yield key.value, line_of(key)


def _below(prefix: str, block: yaml.MappingNode) -> Iterator[tuple[str, int]]:
    for key, value in block.value:
        name = f"{prefix}.{key.value}"
        if isinstance(value, yaml.MappingNode):
            yield from _below(name, value)
        else:
            yield name, line_of(key)
