"""How differing rows of one owner, a patient or a lesion, become one value."""

from collections.abc import Mapping

import pandas as pd

RULE = (
    "numeric: median of the known values; categorical and checkbox: most frequent known value, on a tie the "
    "first in order (not ticked before ticked)"
)


def settle(rows: pd.DataFrame, owner: pd.Series, kinds: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Settle columns by `RULE`.

    Args:
        rows: Of several visits, or pictures.
        owner: Whose each row is; its name is no column that is settled.
        kinds: Column -> kind of its field.

    Returns:
        settled: The columns, with their dtypes; index: owners, sorted.
        conflicts: owner, field, values (as text), chosen; one row per owner and column that differ.
    """
    grouped = rows.groupby(owner, sort=True)
    settled = pd.DataFrame(index=grouped.size().index)
    conflicts = []
    for column, kind in kinds.items():
        chosen = grouped[column].median() if kind == "numeric" else _most_frequent(rows[column], owner)
        settled[column] = chosen.reindex(settled.index).astype(rows[column].dtype)
        conflicts.append(_conflicts(rows[column], owner, settled[column]))
    empty = pd.DataFrame(columns=["owner", "field", "values", "chosen"], dtype=str)
    return settled, pd.concat([empty, *conflicts], ignore_index=True)


def _most_frequent(column: pd.Series, owner: pd.Series) -> pd.Series:
    counts = column.groupby([owner, column], sort=True).size().rename("count").reset_index()
    counts = counts.sort_values([owner.name, "count", column.name], ascending=[True, False, True])
    return counts.drop_duplicates(owner.name).set_index(owner.name)[column.name]


def _conflicts(column: pd.Series, owner: pd.Series, settled: pd.Series) -> pd.DataFrame:
    known = pd.DataFrame({"owner": owner, "value": column}).dropna().drop_duplicates()
    differing = known[known["owner"].duplicated(keep=False)].sort_values(["owner", "value"])
    values = differing.groupby("owner")["value"].agg(lambda group: ", ".join(map(str, group)))
    return pd.DataFrame(
        {
            "owner": values.index.astype(str),
            "field": column.name,
            "values": values.to_numpy(dtype=object),
            "chosen": settled.reindex(values.index).astype(str).to_numpy(),
        }
    ).astype(str)
