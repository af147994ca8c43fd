"""Missing and noisy metadata at test time: training rows stay intact, other rows lose fields or get wrong ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.parameters import RobustnessParams
from slimp_pipeline.tables.levels import LEVELS, has_three, owner_numbers

INTACT, DROPPED, CORRUPTED = "intact", "dropped", "corrupted"
_LEVEL_OF_KIND = {"no patient level": "patient", "no lesion level": "lesion", "no image level": "image"}


@dataclass(frozen=True)
class Condition:
    """What happens to the metadata of test rows.

    Attributes:
        kind: `intact`, `dropped`, `corrupted`, `no patient level`, `no lesion level` or `no image level`.
        share: Of the known cells that it happens to, 0 to 1.
        draw: Number of the draw, from 0.
    """

    kind: str
    share: float
    draw: int


def conditions(settings: RobustnessParams, fields: Mapping[str, FieldSpec]) -> list[Condition]:
    """List what is measured: intact rows, each share dropped and corrupted in every draw, each level missing."""
    shares = [share for share in sorted(set(settings.shares)) if share > 0]
    drawn = product((DROPPED, CORRUPTED), shares, range(settings.num_draws))
    used = LEVELS if has_three(fields.values()) else LEVELS[1:]
    levels = [Condition(kind, 1.0, 0) for kind, level in _LEVEL_OF_KIND.items() if level in used]
    return [Condition(INTACT, 0.0, 0), *(Condition(*condition) for condition in drawn), *levels]


def perturbed_rows(
    rows: pd.DataFrame, fields: Mapping[str, FieldSpec], condition: Condition, train_N: np.ndarray, seed: int
) -> pd.DataFrame:
    """Put rows under a condition; training rows stay as they are.

    Draws depend on the seed and the number of the draw alone: cells hit at a small share are hit at a larger one too,
    and the same cells are dropped and corrupted, so that conditions differ by nothing else.

    Args:
        rows: N rows with the fields' columns (`<field>`, or `<field>.<option>` of a checkbox).
        fields: The fields that may change.
        condition: What happens.
        train_N: Training rows, bool (N,); they lend the values of corrupted cells.
        seed: At least 0.

    Returns:
        A copy of all rows, in order.

    Raises:
        ValueError: If the kind is not known, a share is not in 0 to 1, or corruption has no training rows.
    """
    columns_of_field = {name: field.table_columns(name) for name, field in fields.items()}
    if condition.kind == INTACT:
        return rows.copy()
    if condition.kind in _LEVEL_OF_KIND:
        names = {name for name, field in fields.items() if field.level == _LEVEL_OF_KIND[condition.kind]}
        return without_level(rows, columns_of_field, names, spared_N=train_N)
    rng = np.random.default_rng([seed, condition.draw])
    return perturb(
        rows,
        columns_of_field,
        condition.kind,  # type: ignore[arg-type]
        condition.share,
        rows[train_N],
        rng,
        owners=owner_numbers(rows, fields),
        spared_N=train_N,
    )


def perturb(
    rows: pd.DataFrame,
    columns_of_field: dict[str, list[str]],
    kind: Literal["dropped", "corrupted"],
    share: float,
    donors: pd.DataFrame,
    rng: np.random.Generator,
    *,
    owners: Mapping[str, np.ndarray] = MappingProxyType({}),
    spared_N: np.ndarray | None = None,
) -> pd.DataFrame:
    """Make known cells missing, or give them the value of another row.

    A cell is one field of one owner (picture, lesion or patient), whose rows then change together. It is known where
    any of its columns is; the columns of a checkbox field change together. Missing cells stay missing. A wrong value
    may happen to equal the right one; a field that no donor knows can't be corrupted and stays as it is.

    Args:
        rows: N rows.
        columns_of_field: Field name -> its columns.
        kind: `dropped` makes a cell missing, `corrupted` takes the cell of a random donor that knows the field.
        share: Chance that a known cell is hit, 0 to 1.
        donors: Rows with the same columns.
        rng: Consumed alike whatever the kind and the share.
        owners: Field -> as `levels.owner_numbers` gives it; of a field that isn't in it each row is an owner.
        spared_N: Rows that stay as they are, bool (N,); None: none does.

    Returns:
        A copy of the rows, columns of the same types.

    Raises:
        ValueError: If the kind is not known, the share is not in 0 to 1, or there are no donors to corrupt by.
    """
    if kind not in (DROPPED, CORRUPTED):
        raise ValueError(f"kind '{kind}' is not known: say {DROPPED} or {CORRUPTED}")
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is not between 0 and 1")
    if kind == CORRUPTED and donors.empty:
        raise ValueError("there are no rows to take wrong values from: give training rows as donors")
    changed: dict[str, pd.Series] = {}
    each_N = np.arange(len(rows))
    is_known, is_lent = (_known(frame, columns_of_field) for frame in (rows, donors))
    may_be_hit_N = np.ones(len(rows), dtype=bool) if spared_N is None else ~spared_N
    for name, columns in columns_of_field.items():
        hit_N, place_N = (rng.random(len(rows))[owners.get(name, each_N)] for _ in range(2))
        hit_N = (hit_N < share) & is_known[name] & may_be_hit_N
        if kind == DROPPED:
            changed |= {column: rows[column].mask(hit_N) for column in columns}
            continue
        lenders = np.flatnonzero(is_lent[name])
        if len(lenders):
            lender_N = lenders[(place_N * len(lenders)).astype(int)]
            changed |= {column: rows[column].mask(hit_N, donors[column].array[lender_N]) for column in columns}
    return rows.assign(**changed)


def without_level(
    rows: pd.DataFrame, columns_of_field: dict[str, list[str]], names: set[str], *, spared_N: np.ndarray | None = None
) -> pd.DataFrame:
    """Return a copy of the rows in which all the fields named are missing, but for rows that are spared, bool (N,).

    Raises:
        ValueError: If a name is no field.
    """
    if unknown := sorted(names - set(columns_of_field)):
        raise ValueError(f"no such field: {', '.join(unknown)}. The fields are {', '.join(columns_of_field)}")
    kept_N = np.zeros(len(rows), dtype=bool) if spared_N is None else spared_N
    columns = [column for name in columns_of_field if name in names for column in columns_of_field[name]]
    return rows.assign(**{column: rows[column].where(kept_N) for column in columns})


def _known(rows: pd.DataFrame, columns_of_field: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Which rows know each field, in any of its columns; bool (N,)."""
    columns = [column for of_field in columns_of_field.values() for column in of_field]
    known = dict(zip(columns, rows[columns].notna().to_numpy().T, strict=True))
    return {name: np.any([known[column] for column in of_field], axis=0) for name, of_field in columns_of_field.items()}
