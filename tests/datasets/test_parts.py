"""Tables in parts."""

import pandas as pd
import pyarrow as pa

from slimp_pipeline.datasets.parts import PartsDataset
from slimp_pipeline.embedding.tables import Parts


def test_a_table_in_parts_comes_back_as_it_was_a_row_group_for_each_part(tmp_path):
    table = pa.Table.from_pandas(pd.DataFrame({"a": [1, 2, 3]}), preserve_index=False)
    dataset = PartsDataset(filepath=str(tmp_path / "t.parquet"))
    dataset.save(Parts(table.schema, lambda: iter([table.slice(0, 2), table.slice(2)])))
    assert dataset.load().read().equals(table) and dataset.load().num_row_groups == 2


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    schema = pa.schema([("a", pa.string())])
    dataset = PartsDataset(filepath=str(tmp_path / "t.parquet"))
    dataset.save(Parts(schema, lambda: iter([])))
    assert dataset.load().read().schema.equals(schema) and dataset.load().metadata.num_rows == 0
