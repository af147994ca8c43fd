"""Pictures embedded some hundred at a time: each shard is written whole, so that a killed run goes on behind the last.

Which pictures share a shard, and a pass through the encoder, follows from their order alone. So the result is the same
bytes however often it was broken off.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from slimp_pipeline.embedding.told import what_is_told
from slimp_pipeline.handover.reader import LesionReader
from slimp_pipeline.images.decode import fit_canvas, keep_freed_memory
from slimp_pipeline.images.packing import IMAGES_PER_BATCH, pack, packing_key
from slimp_pipeline.images.raw_images import may_be_readable_later
from slimp_pipeline.models.pictures import read_alike
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.processes.whole import appearing_whole, held
from slimp_pipeline.training.checkpoint import running_key

logger = logging.getLogger(__name__)
_BATCHES_PER_SHARD = 8
PICTURES_PER_SHARD = _BATCHES_PER_SHARD * IMAGES_PER_BATCH


@dataclass(frozen=True)
class EmbeddedPictures:
    """Pictures in shards on disk, a row each in the order in which they were listed.

    Attributes:
        folder: Of the shards.
        num_pictures: In all shards.
    """

    folder: Path
    num_pictures: int

    @property
    def num_shards(self) -> int:
        """How many shards hold them."""
        return -(-self.num_pictures // PICTURES_PER_SHARD)

    def path(self, number: int) -> Path:
        """File of a shard."""
        return self.folder / f"shard_{number:06d}.arrow"

    def shard(self, number: int) -> pa.Table:
        """Rows `number * PICTURES_PER_SHARD` and on: picture, image_id, refused (reason, else null), and what
        `what_is_told` gives, null where the picture is refused."""
        with pa.OSFile(str(self.path(number))) as file:
            return pa.ipc.open_file(file).read_all()

    def __iter__(self) -> Iterator[pa.Table]:
        return (self.shard(number) for number in range(self.num_shards))

    def missing(self) -> list[int]:
        """Numbers of the shards that aren't there or are damaged, or of which a picture may be readable now."""
        return [number for number in range(self.num_shards) if not self._is_whole(number)]

    def _is_whole(self, number: int) -> bool:
        try:
            refused = self.shard(number)["refused"].to_pylist()
        except (OSError, pa.ArrowInvalid):
            return False
        if any(map(may_be_readable_later, refused)):
            return False
        return len(refused) == min(PICTURES_PER_SHARD, self.num_pictures - number * PICTURES_PER_SHARD)


def embed_pictures(
    pictures: pd.DataFrame, encoder: Path, device: str, num_nearest: int, settings: IngestParams, running_root: Path
) -> EmbeddedPictures:
    """Embed pictures, or go on with that.

    Memory doesn't grow with their number, beyond their names.

    Args:
        pictures: picture, image_id, path, key, size_bytes, mtime_ns.
        encoder: An exported model.
        device: Where it computes.
        num_nearest: Known lesions that are named for each picture.
        settings: Limits of pictures, and how many processes check them; what decides pixels the encoder says.
        running_root: Shards lie in a folder below, named by all that decides what comes out.

    Raises:
        ValueError: If the encoder can't be loaded, or a process that checks pictures was killed.
    """
    key = running_key(_code(), packing_key(pictures, settings), folder_digest(encoder), device, num_nearest)
    embedded = EmbeddedPictures(running_root / "embedded" / key, len(pictures))
    with held(embedded.folder / ".lock", "embedding these pictures"):
        missing = embedded.missing()
        if len(missing) < embedded.num_shards:
            done = len(pictures) - len(_rows_of(missing, pictures))
            logger.info("%s of %s pictures were looked at by an earlier run", f"{done:,}", f"{len(pictures):,}")
        if missing:
            _embed(embedded, missing, pictures, LesionReader(encoder, device, num_nearest), settings)
    return embedded


def _code() -> str:
    """Digest of the code that `running_key` doesn't look at."""
    package = Path(__file__).parents[1]
    files = [
        file
        for room in ("embedding", "evaluation", "extrapolation", "handover")
        for file in package.glob(f"{room}/**/*.py")
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def folder_digest(folder: Path) -> str:
    """Digest of an exported model's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()[:20]


def _rows_of(shards: list[int], pictures: pd.DataFrame) -> pd.DataFrame:
    number_N = np.arange(len(pictures)) // PICTURES_PER_SHARD
    return pictures[np.isin(number_N, shards)]


def _embed(
    embedded: EmbeddedPictures, missing: list[int], pictures: pd.DataFrame, reader: LesionReader, settings: IngestParams
) -> None:
    keep_freed_memory()
    rows = _rows_of(missing, pictures)
    checked = pack(rows, read_alike(reader.encoder.checkpoint.facts, settings), doing="Embedding pictures")
    names = iter(rows["picture"])
    for number in missing:
        parts = [_embedded(batch, reader) for batch in islice(checked, _BATCHES_PER_SHARD)]
        shard = pa.concat_tables(parts)
        shard = shard.add_column(0, "picture", pa.array(list(islice(names, len(shard))), pa.string()))
        with (
            appearing_whole(embedded.path(number)) as temporary,
            pa.OSFile(str(temporary), "wb") as file,
            pa.ipc.new_file(file, shard.schema) as writer,
        ):
            writer.write_table(shard)


def _embedded(batch: pa.RecordBatch, reader: LesionReader) -> pa.Table:
    """Rows of pictures that were checked: image_id, refused, and what is told of the others."""
    refused = batch.column("refused")
    encoded = [raw.as_buffer() for raw in batch.column("encoded") if raw.is_valid]
    image_size = reader.encoder.checkpoint.model.image_encoder.image_size
    image_ND = (
        reader.encoder.encode_canvases(*fit_canvas([memoryview(raw) for raw in encoded], image_size))
        if encoded
        else reader.encoder.encode_pictures([])
    )
    places = np.cumsum(refused.is_null().to_numpy(zero_copy_only=False)) - 1
    told = what_is_told(image_ND, reader).take(pa.array(places, mask=refused.is_valid().to_numpy(zero_copy_only=False)))
    return pa.table(
        {"image_id": batch.column("image_id"), "refused": refused}
        | dict(zip(told.column_names, told.columns, strict=True))
    )
