"""Ids of rows and of files, matched where it is plain which is meant."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from slimp_pipeline.cohorts.spec import PICTURE_SUFFIXES
from slimp_pipeline.cohorts.text import as_meant, form_of

_NUM_SHOWN = 3


@dataclass(frozen=True)
class Matching:
    """Which file's id stands for which row's.

    Attributes:
        row_of: Id of a file -> id of a row, for all that have one.
        notes: How many ids were matched though they differ, and how many weren't since more than one could be meant; of
            ids their form alone.
    """

    row_of: dict[str, str]
    notes: list[str]


def match_ids(rows: Iterable[str], files: Iterable[str]) -> Matching:
    """Match ids of files to ids of rows.

    Equal ids belong together. Of the others, those that differ by Unicode form, suffix of a picture, case, or leading
    zeros alone are matched where among all ids one row and one file come into question.

    Args:
        rows: Image ids of a cohort's rows.
        files: Ids of its image files.
    """
    rows, files = dict.fromkeys(rows), dict.fromkeys(files)
    row_of = {name: name for name in files if name in rows}
    notes: list[str] = []
    fold: Callable[[str], str] = str
    unclear: dict[str, tuple[list[str], list[str]]] = {}
    for difference, further in _FOLDS:
        open_rows = rows.keys() - set(row_of.values())
        open_files = files.keys() - row_of.keys()
        if not open_rows or not open_files:
            break
        fold = _after(fold, further)
        matched = _match(fold, rows, files, open_rows, open_files, unclear)
        if matched:
            row_of |= matched
            one = next(iter(sorted(matched)))
            notes.append(
                f"{len(matched):,} images matched though their ids differ by {difference} (a row's of the form "
                f"{form_of(matched[one])!a}, its file's {form_of(one)!a})"
            )
    open_rows = rows.keys() - set(row_of.values())
    still = [(names, found) for names, found in unclear.values() if any(name in open_rows for name in names)]
    if still:
        (names, found) = still[0]
        notes.append(
            f"{len(still):,} ids can't be matched, since more than one is alike: rows of the form "
            f"{_forms(names)}; files {_forms(found)}"
        )
    return Matching(row_of, notes)


def _match(
    fold: Callable[[str], str],
    rows: Iterable[str],
    files: Iterable[str],
    open_rows: set[str],
    open_files: set[str],
    unclear: dict[str, tuple[list[str], list[str]]],
) -> dict[str, str]:
    wanted = {fold(name) for name in open_rows} & {fold(name) for name in open_files}
    if not wanted:
        return {}
    alike: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, names in enumerate((rows, files)):
        for name in names:
            if (folded := fold(name)) in wanted:
                alike[folded][side].append(name)
    matched = {found[0]: names[0] for names, found in alike.values() if len(names) == len(found) == 1}
    for key, group in alike.items():
        if max(map(len, group)) > 1:
            unclear[key] = group
    return matched


def _forms(names: list[str]) -> str:
    return ", ".join(ascii(form_of(name)) for name in names[:_NUM_SHOWN])


def _without_suffix(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in PICTURE_SUFFIXES if name.lower().endswith(suffix)), name)


def without_zeros(name: str) -> str:
    """A name without the zeros that its numbers start with."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", name)


def _after(first: Callable[[str], str], second: Callable[[str], str]) -> Callable[[str], str]:
    return lambda name: second(first(name))


_FOLDS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Unicode form", as_meant),
    ("suffix", _without_suffix),
    ("case", str.casefold),
    ("leading zeros", without_zeros),
)
