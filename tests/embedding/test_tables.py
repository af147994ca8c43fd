"""Tables of pictures and lesions."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import slimp_pipeline
from slimp_pipeline.datasets.parts import PartsDataset
from slimp_pipeline.embedding import tables
from slimp_pipeline.embedding.listing import list_pictures
from slimp_pipeline.embedding.metadata import read_rows
from slimp_pipeline.embedding.shards import embed_pictures
from slimp_pipeline.embedding.tables import Parts, lesion_parts, picture_parts
from slimp_pipeline.embedding.told import as_array, vectors
from slimp_pipeline.parameters import EmbeddingParams, IngestParams


@pytest.fixture
def file(tmp_path):
    """Write parts, and open them, as the catalog does."""

    def written(parts):
        dataset = PartsDataset(filepath=str(tmp_path / "table.parquet"))
        dataset.save(parts)
        return dataset.load()

    return written


@pytest.fixture
def pictures(file):
    """Pictures of lesions in three row groups: embedding, lesion, probability of A."""

    def made(*rows):
        columns = list(zip(*rows, strict=True))
        table = pa.table(
            {
                "embedding": vectors(np.array(columns[0], dtype=np.float32)),
                "lesion_id": pa.array(columns[1], pa.string()),
                "probability_A": pa.array(columns[2], pa.float64()),
                "probability_B": pa.array([1 - p for p in columns[2]], pa.float64()),
            }
        )
        return file(Parts(table.schema, lambda: (table.slice(start, 2) for start in range(0, len(table), 2))))

    return made


def pooled(pictures):
    return pa.concat_tables(lesion_parts(pictures).parts())


ROWS = [([3, 4], "l1", 0.9), ([0, 2], "l2", 0.5), ([5, 0], None, 0.2), ([-1, 0], "l1", 0.1), ([1, 0], "l3", 1.0)]


@pytest.mark.parametrize("at_once", [1, 2, 8192])
def test_a_lesion_is_the_mean_of_its_pictures_at_length_one_and_of_their_probabilities(pictures, monkeypatch, at_once):
    monkeypatch.setattr(tables, "LESIONS_AT_ONCE", at_once)
    table = pooled(pictures(*ROWS))
    assert table["lesion_id"].to_pylist() == ["l1", "l2", "l3"]
    assert table["num_pictures"].to_pylist() == [2, 1, 1]
    np.testing.assert_allclose(as_array(table["embedding"]), [[-0.2, 0.4], [0, 1], [1, 0]], atol=1e-7)
    np.testing.assert_allclose(table["probability_A"].to_numpy(), [0.5, 0.5, 1.0])
    np.testing.assert_allclose(table["probability_B"].to_numpy(), [0.5, 0.5, 0.0])


def test_pictures_without_lesions_give_no_lesion(pictures, file):
    plain = pa.table({"embedding": vectors(np.ones((2, 3), np.float32))})
    parts = lesion_parts(file(Parts(plain.schema, lambda: iter([plain]))))
    assert list(parts.parts()) == [] and parts.schema.names == ["lesion_id", "num_pictures", "embedding"]
    assert file(parts).metadata.num_rows == 0


def test_pictures_bear_their_metadata_embedded_and_the_vector_of_nothing_known_where_they_have_no_row(
    exported, make_pictures, file, tmp_path
):
    folder = make_pictures("a.png", "b.png", "c.png", "d.png")
    (folder / "b.png").write_bytes(b"nothing")
    encoder = slimp_pipeline.load(exported)
    listed = list_pictures(folder)
    (tmp_path / "t.csv").write_text("image_id,lesion_id,diameter_mm,sex\nd,l2,5,male\na,l1,,female\n")
    rows = read_rows(tmp_path / "t.csv", listed, encoder.checkpoint.encoding, EmbeddingParams())
    embedded = embed_pictures(listed, exported, "cpu", 5, IngestParams(num_processes=1), tmp_path / "running")
    table = file(picture_parts(embedded, rows, encoder)).read().to_pandas()
    assert table["picture"].tolist() == ["a.png", "c.png", "d.png"]
    assert table["lesion_id"].tolist()[::2] == ["l1", "l2"] and pd.isna(table["lesion_id"][1])
    metadata = pd.DataFrame({"diameter_mm": [None, None, 5], "sex": ["female", None, "male"]})
    for name, expected in (
        ("lesion_embedding", encoder.encode_metadata(metadata)),
        ("patient_embedding", encoder.encode_patients(metadata)),
    ):
        np.testing.assert_allclose(np.stack(table[name]), expected, rtol=1e-5, atol=1e-6)
    plain = file(picture_parts(embedded, None, None))
    assert {"lesion_id", "lesion_embedding", "refused"}.isdisjoint(plain.schema_arrow.names)
    assert plain.schema_arrow.field("embedding").type == pa.list_(pa.float32(), 32)
    assert isinstance(plain, pq.ParquetFile)
