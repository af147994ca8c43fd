"""Folders that rows name with their images, held against those in which the files lie."""

import os
from collections.abc import Sequence
from itertools import zip_longest

import pandas as pd

from slimp_pipeline.cohorts.text import as_meant

OWN, OTHER, ABSENT = "own", "other", "absent"


def compare_folders(named: pd.Series, paths: pd.Series, all_paths: Sequence[str]) -> pd.Series:
    """Tell whether files lie in the folders that their rows name.

    Folders are compared from the innermost on, case and Unicode form aside, as far as the row names them.

    Args:
        named: Folder that a file's row names, "" where it names none; index as `paths`.
        paths: Path of each file.
        all_paths: Paths of all files that are there, used or not.

    Returns:
        Per file `own`, `other` (it lies elsewhere than its row says, and the folder that the row names is there), or
        `absent` (the folder that its row names isn't there).
    """
    folders = {folder: _parts(folder) for folder in {os.path.dirname(path) for path in all_paths}}  # noqa: PTH120
    there = [set(parts) for parts in zip_longest(*folders.values())]
    answers: dict[tuple[str, str], str] = {}
    for name, path in zip(named, paths, strict=True):
        folder = os.path.dirname(path)  # noqa: PTH120  (a Path costs ten times as much)
        if (name, folder) not in answers:
            answers[name, folder] = _compare(_parts(name), folders[folder], there)
    told = [answers[name, os.path.dirname(path)] for name, path in zip(named, paths, strict=True)]  # noqa: PTH120
    return pd.Series(told, index=paths.index, dtype="str")


def _compare(named: list[str], own: list[str], there: list[set[str]]) -> str:
    for depth, (name, part) in enumerate(zip(named, own, strict=False)):
        if name != part:
            return OTHER if name in there[depth] else ABSENT
    return OWN


def _parts(folder: str) -> list[str]:
    """Names of folders, the innermost first."""
    return [as_meant(part).casefold() for part in reversed(folder.replace("\\", "/").split("/")) if part]
