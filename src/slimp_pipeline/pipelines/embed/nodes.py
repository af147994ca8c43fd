"""One's own pictures, embedded and held against what an exported model knows."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from slimp_pipeline.embedding.challenge import submission_file
from slimp_pipeline.embedding.outcome import ledger, summary
from slimp_pipeline.embedding.request import Request, look_through
from slimp_pipeline.embedding.shards import EmbeddedPictures, embed_pictures
from slimp_pipeline.embedding.tables import Parts, lesion_parts, picture_parts
from slimp_pipeline.models.pretrained import load
from slimp_pipeline.parameters import EmbeddingParams, IngestParams
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.training.device import pick_device


def look(settings: EmbeddingParams, exported: Path | None) -> Request:
    """All that is asked for, looked through."""
    return look_through(settings, exported)


def embed(request: Request, settings: EmbeddingParams, ingest: IngestParams, running_root: str) -> EmbeddedPictures:
    """All pictures, in shards."""
    device = pick_device(settings.device).type
    root = depot_of(running_root, of_folders=True).local
    return embed_pictures(request.pictures, request.encoder, device, settings.num_nearest, ingest, root)


def tell(request: Request, embedded: EmbeddedPictures, settings: EmbeddingParams) -> tuple[Parts, pd.DataFrame]:
    """A row a picture with its metadata; what became of each file."""
    encoder = load(request.encoder, pick_device(settings.device).type) if request.rows else None
    return picture_parts(embedded, request.rows, encoder), ledger(request, embedded)


def pool(pictures: pq.ParquetFile) -> Parts:
    """A row a lesion."""
    return lesion_parts(pictures)


def submit(request: Request, pictures: pq.ParquetFile, lesions: pq.ParquetFile) -> dict[str, bytes]:
    """The file that a challenge takes, if one is asked for."""
    if request.challenge is None:
        return {}
    return submission_file(lesions if request.challenge.by_lesion else pictures, request.challenge, request.sample)


def summarise(
    request: Request,
    files: pd.DataFrame,
    pictures: pq.ParquetFile,
    lesions: pq.ParquetFile,
    challenge_files: dict[str, bytes],
    settings: EmbeddingParams,
) -> dict[str, Any]:
    """Counts; an error where too many pictures were refused, once all else is written."""
    return summary(request, files, pictures, lesions, settings.max_refused_share)
