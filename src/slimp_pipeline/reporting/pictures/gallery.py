"""Nearest-neighbour gallery: queries and what the embedding finds closest, as inline pictures."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from slimp_pipeline.evaluation.features.embed import block, methods
from slimp_pipeline.evaluation.measures.records import pretrained_method
from slimp_pipeline.evaluation.task import in_turn
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.reporting.labels import UNLABELLED
from slimp_pipeline.tables.splits import partition, partition_names

_SIDE_PX, _NUM_NEIGHBOURS = 112, 4


def nearest_neighbours(
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    store: ImageStore,
    embeddings: Mapping[str, np.ndarray],
    size: int,
    *,
    show_ids: bool,
) -> list[list[dict[str, Any]]]:
    """Pick test images, one class after the other, and their nearest training images of other patients.

    Returns:
        One list per query, the query first: src (data URI), label, and the image id if it may be shown.
    """
    name = partition_names(splits)[0]
    values = block(embeddings, pretrained_method(methods(embeddings)), name, "image")
    if values is None or size == 0:
        return []
    merged = rows.merge(splits[["image_id", "split", "fold"]], on="image_id", how="left")
    train_N, test_N = partition(merged, name)
    unit = values - values[train_N].mean(axis=0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    tested = np.flatnonzero(test_N)
    queries = tested[in_turn(merged["diagnosis"].fillna(UNLABELLED).to_numpy()[tested], size)]
    train_rows = np.flatnonzero(train_N)
    gallery = []
    for query in queries:
        nearest = train_rows[np.argsort(-(unit[train_rows] @ unit[query]))[:_NUM_NEIGHBOURS]]
        gallery.append([picture(merged.iloc[row], store, show_ids=show_ids) for row in [query, *nearest]])
    return gallery


def picture(row: pd.Series, store: ImageStore, *, show_ids: bool) -> dict[str, Any]:
    """One row's image as a small inline picture: src (data URI), label, and the image id if it may be shown."""
    source = inline_picture(store.encoded(int(row["store_index"])), _SIDE_PX)
    label = UNLABELLED if pd.isna(row["diagnosis"]) else row["diagnosis"]
    return {"src": source, "label": label, "image_id": row["image_id"] if show_ids else ""}


def inline_picture(encoded: bytes | memoryview, side_px: int) -> str:
    """A picture that fits into a square of that side, as a data URI."""
    thumbnail = Image.open(io.BytesIO(encoded)).convert("RGB")
    thumbnail.thumbnail((side_px, side_px))
    return as_data_uri(thumbnail)


def as_data_uri(image: Image.Image) -> str:
    """A picture as JPEG, in a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
