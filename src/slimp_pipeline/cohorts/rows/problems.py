"""What is set aside, row by row: where it stands, what it says, and why."""

from dataclasses import dataclass, field

import pandas as pd

COLUMNS = ["table", "line", "image_id", "column", "value", "reason", "kept"]


@dataclass
class Problems:
    """Entries of the quarantine table, gathered while a cohort is read.

    Attributes:
        table: Name of the first table's file, whose rows are the cohort's.
    """

    table: str
    _parts: list[pd.DataFrame] = field(default_factory=list)

    def note(self, column: str, values: pd.Series, broken: pd.Series, reason: str | pd.Series) -> None:
        """Set rows of the first table aside: one entry per broken row.

        Args:
            column: Column of the raw table, or id, that is at fault.
            values: What it says; index = line.
            broken: Which rows, bool.
            reason: Why, one for all or one each.
        """
        if broken.any():
            self._add(self.table, column, values[broken], reason if isinstance(reason, str) else reason[broken])

    def mention(self, table: str, column: str, values: pd.Series, reason: str) -> None:
        """List rows that lack something and are kept; or, of a further table, that belong to no row."""
        if len(values):
            self._add(table, column, values, reason, kept=table == self.table)

    def entries(self, image_ids: pd.Series) -> pd.DataFrame:
        """All entries, with the image ids of the first table's lines, sorted by table, line and column."""
        entries = pd.concat([pd.DataFrame(columns=COLUMNS), *self._parts], ignore_index=True)
        own = entries["table"] == self.table
        entries["image_id"] = image_ids.reindex(entries["line"]).where(own.to_numpy(), "").to_numpy()
        types = dict.fromkeys(COLUMNS, str) | {"line": int, "kept": bool}
        first = entries["table"].ne(self.table)
        order = entries.assign(first=first).sort_values(["first", "table", "line", "column"], kind="stable").index
        return entries.loc[order].astype(types).reset_index(drop=True)

    def _add(self, table: str, column: str, values: pd.Series, reason: str | pd.Series, *, kept: bool = False) -> None:
        self._parts.append(
            pd.DataFrame(
                {
                    "table": table, "line": values.index, "column": column, "value": values.to_numpy(),
                    "reason": reason if isinstance(reason, str) else reason.to_numpy(), "kept": kept,
                }
            )
        )  # fmt: skip
