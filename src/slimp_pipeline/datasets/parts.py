"""Tables that are written and read in parts, as Parquet."""

from typing import Any

import pyarrow.parquet as pq
from kedro.io import AbstractDataset

from slimp_pipeline.embedding.tables import Parts


class PartsDataset(AbstractDataset[Parts, pq.ParquetFile]):
    """Saves the parts of a table, each a row group; loads the file, of which nothing is read yet.

    For use inside `AtomicDataset`.
    """

    def __init__(self, *, filepath: str) -> None:
        self._filepath = filepath

    def load(self) -> pq.ParquetFile:
        """Open the file."""
        return pq.ParquetFile(self._filepath)

    def save(self, data: Parts) -> None:
        """Write part after part."""
        with pq.ParquetWriter(self._filepath, data.schema) as writer:
            for part in data.parts():
                if len(part):
                    writer.write_table(part, row_group_size=len(part))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
