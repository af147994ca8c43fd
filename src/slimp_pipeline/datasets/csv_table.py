"""Tables as CSV that is safe to open in a spreadsheet."""

from typing import Any

import pandas as pd
from kedro.io.core import get_filepath_str
from kedro_datasets.pandas import CSVDataset

from slimp_pipeline.tables.csv_cells import csv_text, unguard_formulas


class CSVTableDataset(CSVDataset):
    """Kedro's CSV dataset; texts that a spreadsheet would take for formulas are written with a leading apostrophe.

    Loading takes it away again. For use inside `AtomicDataset`; settings are those of `pandas.CSVDataset`.
    """

    DEFAULT_FS_ARGS: dict[str, Any] = {"open_args_save": {"mode": "w", "encoding": "utf-8", "newline": ""}}

    def load(self) -> pd.DataFrame:
        """Load the table as it was saved."""
        return unguard_formulas(super().load())

    def save(self, data: pd.DataFrame) -> None:
        """Write the table, its texts guarded."""
        with self._fs.open(get_filepath_str(self._get_save_path(), self._protocol), **self._fs_open_args_save) as file:
            file.write(csv_text(data, **self._save_args))
        self._invalidate_cache()
