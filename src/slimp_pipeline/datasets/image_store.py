"""The image store, addressed by what it was packed from."""

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
from kedro.io import DatasetError, Version

from slimp_pipeline.datasets.versioned import OwnVersionDataset
from slimp_pipeline.images.store import SCHEMA, ImageStore, Packing
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.whole import appearing_whole, held

logger = logging.getLogger(__name__)


class ImageStoreDataset(OwnVersionDataset[Any]):
    """Versions that each name a packed file; packed files are addressed by content, and shared by all of them.

    Saves a `Packing`, loads an `ImageStore`. Saving what is packed already packs nothing: unchanged raw data isn't
    packed again. Where another process packs the same images, its file is waited for.

    Args:
        filepath: Path of the note that names the packed file, or its address in a bucket.
        path: Folder of the packed files, or its address.
        version: Set by Kedro.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    def __init__(
        self, *, filepath: str, path: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath, version, metadata=metadata)
        self._packed = depot_of(path)
        self._folder = self._packed.local

    def load(self) -> ImageStore:
        """Open the store of a version."""
        try:
            name = json.loads(self.fetched().read_text(encoding="utf-8"))["packed"]
            self._packed.fetch(self._folder / name)
            return ImageStore(self._folder / name)
        except OSError as error:
            raise DatasetError(
                f"the image store {self._folder} can't be opened ({error.strerror or error}). "
                "`kedro run --pipeline=ingest` packs it again."
            ) from error

    def save(self, data: Packing) -> None:
        """Pack the images, unless that was done, and name the packed file."""
        target = self._folder / f"{data.key}.arrow"
        with held(self._folder / f".{data.key}.lock", f"packing images into {target}"):
            if self._packed.exists(target):
                self._packed.fetch(target)
            if not _opens(target):
                self._pack(target, data)
            if not self._packed.exists(target):
                self._packed.publish(target)
        with self._appearing() as temporary:
            temporary.write_text(json.dumps({"packed": target.name}), encoding="utf-8")

    def _pack(self, target: Path, data: Packing) -> None:
        try:
            with (
                appearing_whole(target) as temporary,
                pa.OSFile(str(temporary), "wb") as file,
                pa.ipc.new_file(file, SCHEMA) as writer,
            ):
                for batch in data.batches():
                    writer.write_batch(batch)
        except OSError as error:
            raise DatasetError(
                f"the image store {target} couldn't be written ({error.strerror or error}); nothing else was lost. "
                "Free disk space and run again."
            ) from error

    def _exists(self) -> bool:
        return self._is_there()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "path": self._folder, "version": self._version}


def _opens(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        ImageStore(path)
    except (OSError, pa.ArrowInvalid) as error:
        logger.warning("%s doesn't open (%s): its images are packed again", path, error)
        return False
    return True
