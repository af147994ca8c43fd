"""The YAML files of `conf/`, read and checked before Kedro reads them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import yaml

from slimp_pipeline.configuration.rules import Loader
from slimp_pipeline.configuration.slips import Slip, refuse
from slimp_pipeline.configuration.syntax import explain
from slimp_pipeline.configuration.tree import tree_slips

_SUFFIXES = (".yml", ".yaml", ".json")  # which Kedro reads
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


@dataclass(frozen=True)
class ConfFile:
    """A checked file of `conf/`."""

    name: str  # as shown: conf/base/parameters.yml
    env: str
    kind: str  # parameters, catalog, ...; "other": none that Kedro reads
    text: str = field(repr=False)
    root: yaml.MappingNode = field(repr=False)

    @property
    def entries(self) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """Top-level names, with their values."""
        return [(key, value) for key, value in self.root.value if isinstance(key, yaml.ScalarNode)]


def read_files(conf: Path, env: str) -> list[ConfFile]:
    """Read every YAML file of an environment and of `base`, and `logging.yml`.

    Args:
        conf: The folder `conf`.
        env: Name of the environment that is laid over `base`.

    Returns:
        Files in order of their names, those of `base` first; empty ones are left out.

    Raises:
        ValueError: With every slip: file, line, what is wrong and what to do.
    """
    slips: list[Slip] = []
    files: list[ConfFile] = []
    for path, name in _paths(conf, env):
        relative = path.relative_to(conf)
        text, problems = _read(path)
        root = None
        if not problems:
            root, problems = _parse(text, needed="cohorts" in relative.parts)
        slips += [Slip(name, *problem) for problem in problems]
        if isinstance(root, yaml.MappingNode):
            files.append(ConfFile(name, relative.parts[0], _kind(relative), text, root))
    refuse(slips)
    return files


def _paths(conf: Path, env: str) -> Iterator[tuple[Path, str]]:
    for folder in dict.fromkeys(("base", env)):
        for place, folders, names in os.walk(conf / folder, onerror=_raise, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(_SUFFIXES) and not name.startswith("."):
                    path = Path(place, name)
                    yield path, str(PurePath(conf.name) / path.relative_to(conf))
    if (conf / "logging.yml").exists():
        yield conf / "logging.yml", str(PurePath(conf.name) / "logging.yml")


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _kind(path: PurePath) -> str:
    """By Kedro's patterns: `parameters*` anywhere, and whatever is in a folder `parameters*` of the environment."""
    *folders, name = path.parts[1:] or path.parts
    for kind in ("parameters", "catalog", "credentials", "mlflow"):
        if name.startswith(kind) or (folders and folders[0].startswith(kind)):
            return kind
    return "globals" if name == "globals.yml" and not folders else "other"


def _read(path: Path) -> tuple[str, list[tuple[int | None, str]]]:
    if path.is_symlink() and not path.exists():
        return "", [(None, f"is a link to {path.readlink()}, which isn't there: repair or remove the link")]
    try:
        content = path.read_bytes()
    except OSError as error:
        return "", [(None, f"can't be read ({error.strerror}): check its permissions")]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in content[:4]:
        return "", [(None, "is written in UTF-16: save it as UTF-8")]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        shown = content.splitlines()[line - 1].decode("cp1252", errors="replace").strip()
        return "", [(line, f"isn't UTF-8 (umlauts or accents of another encoding): save the file as UTF-8. {shown}")]
    if found := _NOT_TEXT.search(text):
        line = text.count("\n", 0, found.start()) + 1
        return "", [(line, f"holds a character that is no text (code {ord(found[0])}): remove it")]
    return text, []


def _parse(text: str, *, needed: bool) -> tuple[yaml.Node | None, list[tuple[int | None, str]]]:
    """Compose one file; what holds comments alone is fine unless it is `needed`."""
    loader = Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return None, [explain(text, error)]
    finally:
        loader.dispose()
    if root is None:
        empty = not text.strip() or needed
        return None, [(None, "is empty: fill or remove it")] if empty else []
    if isinstance(root, yaml.MappingNode):
        return root, list(tree_slips(root, text))
    return None, [(1, "has no names: a file starts with `name: value`, or with `name:` and a block below")]
