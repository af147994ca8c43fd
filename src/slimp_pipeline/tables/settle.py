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
        owner: Whose each row is.
        kinds: Column -> kind of its field.

    Returns:
        settled: The columns, with their dtypes; index: owners, sorted.
        conflicts: owner, field, values (as text), chosen; one row per owner and column that differ.
    """
    settled = pd.DataFrame(index=owner.groupby(owner, sort=True).size().index)
    conflicts = []
    for column, kind in kinds.items():
        values = rows[column]
        chosen = values.groupby(owner).median() if kind == "numeric" else _most_frequent(values, owner)
        settled[column] = chosen.reindex(settled.index).astype(values.dtype)
        conflicts.append(_conflicts(values, owner, settled[column]))
    empty = pd.DataFrame(columns=["owner", "field", "values", "chosen"], dtype=str)
    return settled, pd.concat([empty, *conflicts], ignore_index=True)


def _most_frequent(column: pd.Series, owner: pd.Series) -> pd.Series:
    # Names of our own: those of fields are the user's, and may be any.
    known = pd.DataFrame({"owner": owner, "value": column})
    counts = known.groupby(["owner", "value"], sort=True).size().sort_values(ascending=False, kind="stable")
    return counts.reset_index().drop_duplicates("owner").set_index("owner")["value"]


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
