"""The tables that embedding leaves: a row a picture, a row a lesion; written and read some hundred rows at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slimp_pipeline.embedding.metadata import PictureRows
from slimp_pipeline.embedding.shards import PICTURES_PER_SHARD, EmbeddedPictures
from slimp_pipeline.embedding.told import as_array, vectors
from slimp_pipeline.models.pretrained import PretrainedSLIMP

LESIONS_AT_ONCE = 8192  # whose sums are held


@dataclass(frozen=True)
class Parts:
    """A table that is too large to be held at once.

    Attributes:
        schema: Of all parts.
        parts: Yields them; nothing runs before the call.
    """

    schema: pa.Schema
    parts: Callable[[], Iterator[pa.Table]]


def picture_parts(embedded: EmbeddedPictures, rows: PictureRows | None, encoder: PretrainedSLIMP | None) -> Parts:
    """A row for each picture that was embedded, in order.

    Args:
        embedded: In shards.
        rows: Metadata of all pictures; None without a table.
        encoder: Embeds these; needed where there are some.

    Returns:
        picture, image_id; with a table lesion_id (where it has the column), lesion_embedding and patient_embedding (of
        levels of which it has a field; without a row the learnt vector of nothing known; with three levels
        lesion_embedding holds the picture's own before the lesion's); then what
        `shards.what_is_told` gives.
    """

    def parts() -> Iterator[pa.Table]:
        for number, shard in enumerate(embedded):
            start = number * PICTURES_PER_SHARD
            kept_N = shard["refused"].is_null().to_numpy()
            part = shard.filter(pa.array(kept_N)).drop_columns("refused")
            if rows is not None and encoder is not None:
                part = _with_metadata(part, rows, start + np.flatnonzero(kept_N), encoder)
            yield part.combine_chunks()

    return Parts(next(parts()).schema, parts)


def _with_metadata(part: pa.Table, rows: PictureRows, row_N: np.ndarray, encoder: PretrainedSLIMP) -> pa.Table:
    fields = rows.fields.iloc[row_N].reset_index(drop=True)
    place, encoding = 2, encoder.checkpoint.encoding
    if rows.lesion_id_N is not None:
        part = part.add_column(place, "lesion_id", pa.array(rows.lesion_id_N[row_N], pa.string()))
        place += 1
    for name, level, encode in (
        ("lesion_embedding", encoding.of_rows, encoder.encode_metadata),
        ("patient_embedding", encoding.patient, encoder.encode_patients),
    ):
        if any(column in fields for field in level.fields for column in level.columns(field)):
            part = part.add_column(place, name, vectors(encode(fields)))
            place += 1
    return part


def lesion_parts(pictures: pq.ParquetFile) -> Parts:
    """A row for each lesion, in the order in which its first picture stands; pooling is our choice.

    Args:
        pictures: What `picture_parts` gave. Pictures without a lesion are left out.

    Returns:
        lesion_id, num_pictures, embedding (mean of its pictures' embeddings, each of length one), `probability_<class>`
        (means). No row where the pictures' table names no lesions.
    """
    names = [name for name in pictures.schema_arrow.names if name.startswith("probability_")]
    dim = pictures.schema_arrow.field("embedding").type.list_size
    schema = pa.schema(
        [("lesion_id", pa.string()), ("num_pictures", pa.int64()), ("embedding", pa.list_(pa.float32(), dim))]
        + [(name, pa.float64()) for name in names]
    )

    def parts() -> Iterator[pa.Table]:
        lesion_N, ids = _lesions(pictures)
        for first in range(0, len(ids), LESIONS_AT_ONCE):
            count_L, embedding_LD, probability_LC = _pooled(pictures, lesion_N, first, len(ids), names, dim)
            columns = [ids[first : first + LESIONS_AT_ONCE], count_L, vectors(embedding_LD), *probability_LC.T]
            yield pa.table(
                [
                    pa.array(c, f.type) if not isinstance(c, pa.Array) else c
                    for c, f in zip(columns, schema, strict=True)
                ],
                schema,
            )

    return Parts(schema, parts)


def _lesions(pictures: pq.ParquetFile) -> tuple[np.ndarray, list[str]]:
    """Number of each picture's lesion, -1 for none, and the lesions' ids."""
    if "lesion_id" not in pictures.schema_arrow.names:
        return np.empty(0, np.int64), []
    column = pictures.read(columns=["lesion_id"])["lesion_id"].to_pandas()
    lesion_N, ids = pd.factorize(column)
    return lesion_N.astype(np.int64), list(ids)


def _pooled(
    pictures: pq.ParquetFile, lesion_N: np.ndarray, first: int, num_lesions: int, names: list[str], dim: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of pictures, mean embedding and mean probabilities of the lesions from `first` on."""
    num = min(LESIONS_AT_ONCE, num_lesions - first)
    count_L, sum_LV = np.zeros(num, np.int64), np.zeros((num, dim + len(names)))
    stop = 0
    for group in range(pictures.num_row_groups):
        start, stop = stop, stop + pictures.metadata.row_group(group).num_rows
        own_R = lesion_N[start:stop] - first
        is_own_R = (own_R >= 0) & (own_R < num) & (lesion_N[start:stop] >= 0)
        if not is_own_R.any():  # a lesion's pictures mostly stand near each other
            continue
        rows = pictures.read_row_group(group, columns=["embedding", *names])
        values_RV = _values(rows, names)[is_own_R]
        np.add.at(sum_LV, own_R[is_own_R], values_RV)
        np.add.at(count_L, own_R[is_own_R], 1)
    mean_LV = sum_LV / count_L[:, None]
    return count_L, mean_LV[:, :dim], mean_LV[:, dim:]


def _values(rows: pa.Table, names: list[str]) -> np.ndarray:
    embedding_RD = as_array(rows["embedding"]).astype(np.float64)
    length_R = np.linalg.norm(embedding_RD, axis=1, keepdims=True)
    return np.column_stack([embedding_RD / np.maximum(length_R, 1e-12), *(rows[name].to_numpy() for name in names)])


def count(pictures: pq.ParquetFile, column: str) -> int | None:
    """How many rows are true; None without the column."""
    if column not in pictures.schema_arrow.names:
        return None
    return int(pc.sum(pictures.read(columns=[column])[column]).as_py() or 0)
