"""What an exported model tells of image embeddings, as columns of a table."""

from typing import Any

import numpy as np
import pyarrow as pa

from slimp_pipeline.handover.known import KnownLesions
from slimp_pipeline.handover.reader import LesionReader

NEAREST = pa.struct([("known_lesion", pa.int64()), ("diagnosis", pa.string()), ("distance", pa.float64())])


def what_is_told(image_ND: np.ndarray, reader: LesionReader) -> pa.Table:
    """What an exported model says of image embeddings, a row each.

    Columns are `embedding`; with known lesions `nearest` (known_lesion, diagnosis, cosine distance), `unusual` and
    `is_unusual`; with a classifier `probability_<class>`.
    """
    columns: dict[str, pa.Array] = {"embedding": vectors(image_ND)}
    if reader.known:
        unusual_N = reader.known.unusual(image_ND)
        columns["nearest"] = _nearest(*reader.known.nearest(image_ND, reader.num_nearest), reader.known)
        columns["unusual"] = pa.array(unusual_N)
        columns["is_unusual"] = pa.array(unusual_N > reader.known.unusual_above)
    if reader.classifier:
        probability_NC = reader.classifier.probabilities(image_ND)
        for name, values in zip(reader.classifier.classes, probability_NC.T, strict=True):
            columns[f"probability_{name}"] = pa.array(np.ascontiguousarray(values))
    return pa.table(columns)


def vectors(values_ND: np.ndarray) -> pa.FixedSizeListArray:
    """Rows of an array as lists of one size, float32."""
    flat = pa.array(np.ascontiguousarray(values_ND, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values_ND.shape[1])


def _nearest(rows_NK: np.ndarray, distance_NK: np.ndarray, known: KnownLesions) -> pa.ListArray:
    diagnoses = pa.array(known.diagnosis_N, pa.string()).take(pa.array(rows_NK.reshape(-1)))
    values = pa.StructArray.from_arrays(
        [pa.array(rows_NK.reshape(-1)), diagnoses, pa.array(distance_NK.reshape(-1))], fields=list(NEAREST)
    )
    offsets = np.arange(len(rows_NK) + 1, dtype=np.int32) * rows_NK.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def as_array(column: pa.ChunkedArray) -> np.ndarray:
    """A column of vectors as float32 (R, D)."""
    chunk: Any = column.combine_chunks()
    return np.asarray(chunk.flatten()).reshape(len(chunk), -1)
