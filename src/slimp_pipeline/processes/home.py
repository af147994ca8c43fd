"""Where a run works: in its project's folder, to which relative paths in settings refer, wherever it was called."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

_called_from: list[Path] = []


@contextlib.contextmanager
def at_home(project: Path) -> Iterator[None]:
    """Work in the project's folder, to which relative paths in settings refer; then be back where it was called."""
    _called_from.append(Path.cwd())
    try:
        with contextlib.chdir(project):
            yield
    finally:
        _called_from.pop()


def told(path: str | PurePath) -> str:
    """A path as a dataset describes itself, which Kedro-Viz's pages show: below the current folder, or by its name."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else Path(path).name


def shown(path: str | Path) -> str:
    """A path of the project as it is to be typed where the run was called from."""
    here = _called_from[0] if _called_from else Path.cwd()
    path = Path(path).absolute()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
