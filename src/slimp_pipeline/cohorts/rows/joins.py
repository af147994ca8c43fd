"""Further tables joined to the first: every row of either side is accounted for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from slimp_pipeline.cohorts.files.table_file import read_table
from slimp_pipeline.cohorts.rows.problems import Problems
from slimp_pipeline.cohorts.rows.values import missing_id
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.cohorts.text import table_as_meant


@dataclass(frozen=True)
class Joined:
    """A cohort's tables as one, all text.

    Attributes:
        raw: One row per row of the first table; index = its line there.
        columns: Table, as the specification names its file -> columns that it has.
        joins: Each further table -> number of rows with and without partner, on either side.
        notes: What is worth saying, in sentences.
        problems: Rows without partner, on either side.
    """

    raw: pd.DataFrame
    columns: dict[str, list[str]]
    joins: dict[str, dict[str, int]]
    notes: list[str]
    problems: Problems


def read_joined(spec: CohortSpec, paths: Mapping[int, Path]) -> Joined:
    """Read a cohort's tables and join them.

    Args:
        spec: The cohort.
        paths: Number of a table in `spec.tables` -> its file, for all that exist.

    Raises:
        ValueError: If a table can't be read, a column to join on isn't there or not unique, or no row has a partner.
    """
    notes = [
        f"no table {' or '.join(table.file)}: its columns are not known (`required: false`)"
        for number, table in enumerate(spec.tables)
        if number not in paths
    ]
    tables = [
        _Table(name, str(spec.tables[number].join_on), _read(spec, number, paths[number], name, notes))
        for number, name in _names(spec, paths).items()
    ]
    joined = Joined(
        tables[0].frame, {table.name: list(table.frame) for table in tables}, {}, notes, Problems(tables[0].name)
    )
    for table in tables[1:]:
        joined = replace(joined, raw=_left_join(spec, joined, table))
    return joined


@dataclass(frozen=True)
class _Table:
    name: str
    key: str
    frame: pd.DataFrame


def _names(spec: CohortSpec, paths: Mapping[int, Path]) -> dict[int, str]:
    """What each table is called: its file as the specification has it, and its sheet; no two alike."""
    names: dict[int, str] = {}
    for number, path in sorted(paths.items()):
        table = spec.tables[number]
        name = next(
            (name for name in table.file if path.parts[-len(Path(name).parts) :] == Path(name).parts), path.name
        )
        name += f" [{table.sheet}]" if table.sheet else ""
        names[number] = f"{name} ({number + 1})" if name in names.values() else name
    return names


def _read(spec: CohortSpec, number: int, path: Path, name: str, notes: list[str]) -> pd.DataFrame:
    table = spec.tables[number]
    frame, changed = table_as_meant(read_table(path, separator=table.separator, sheet=table.sheet))
    if changed:
        cells = ", ".join(f"{count:,} of {column}" for column, count in changed.items())
        notes.append(
            f"cells of {name} held invisible characters or another Unicode form, and are read without: {cells}"
        )
    if absent := [column for column in table.rename if column not in frame and not spec.partial]:
        raise ValueError(
            f"{path}: no column is called {', '.join(absent)}, which tables[{number}].rename of cohort {spec.name} "
            f"names. There are: {', '.join(frame)}."
        )
    frame = frame.rename(columns=table.rename)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise ValueError(
            f"{path}: with `rename`, several columns are called {', '.join(twice)}. Leave all but one out."
        )
    return frame


def _left_join(spec: CohortSpec, joined: Joined, table: _Table) -> pd.DataFrame:
    left, first, key, name = joined.raw, joined.problems.table, table.key, table.name
    for file, columns in ((name, table.frame.columns), (first, left.columns)):
        if key not in columns:
            raise ValueError(f"{file}: no column '{key}' to join on. Its columns: {', '.join(columns)}")
    unknown = missing_id(table.frame[key], spec)  # who isn't known has no partner
    right = table.frame[~unknown]
    if repeated := right.loc[right[key].duplicated(), key].tolist():
        raise ValueError(f"{name}: {key} {repeated[0]} stands in several rows. Keep one row per {key}.")
    matched, used = left[key].isin(right[key]), right[key].isin(left[key])
    if not matched.any():
        raise ValueError(
            f"{name}: no row has a {key} of {first} ('{_example(left[key])}' there, '{_example(right[key])}' here). "
            f"Make both tables name the {key} alike."
        )
    _account(
        joined,
        table,
        left.loc[~matched, key],
        table.frame.loc[unknown | ~used.reindex(unknown.index, fill_value=True), key],
    )
    partner = right.set_index(key).reindex(left[key]).set_axis(left.index)
    shared = [column for column in partner if column in left]
    joined.notes.extend(_differing(left[matched], partner[matched], shared, name))
    return left.join(partner.drop(columns=shared).fillna(""))


def _account(joined: Joined, table: _Table, without_partner: pd.Series, without_row: pd.Series) -> None:
    """Count and list what has no counterpart, on either side."""
    first, key, name = joined.problems.table, table.key, table.name
    joined.joins[name] = {
        "rows": len(joined.raw) - len(without_partner),
        "rows_without_partner": len(without_partner),
        "partners_without_row": len(without_row),
    }
    joined.problems.mention(first, key, without_partner, f"{name} has no row for it: its columns are not known")
    joined.problems.mention(name, key, without_row, f"{first} has no row for it")
    for ids, text in (
        (without_partner, f"rows have no partner in {name}"),
        (without_row, f"rows of {name} belong to no row of {first}"),
    ):
        if len(ids):
            joined.notes.append(f"{len(ids):,} {text}: quarantine.csv lists them")


def _differing(left: pd.DataFrame, partner: pd.DataFrame, shared: list[str], name: str) -> Iterator[str]:
    """Columns that both tables have are read from the first; say where the other says something else."""
    for column in shared:
        if differing := int((left[column] != partner[column]).sum()):
            yield f"column {column} of {name} isn't read, the first table has it too; they differ in {differing:,} rows"


def _example(ids: pd.Series) -> str:
    return str(ids.iloc[0]) if len(ids) else "nothing"
