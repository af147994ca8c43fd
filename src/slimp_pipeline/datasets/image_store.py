"""The image store, addressed by what it was packed from."""

import json
import logging
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from kedro.io import DatasetError, Version

from slimp_pipeline.datasets.versioned import OwnVersionDataset
from slimp_pipeline.images.packed import PackedImages
from slimp_pipeline.images.packing import Packing
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.home import told
from slimp_pipeline.processes.whole import held, is_disk_full, remove, remove_left_over

logger = logging.getLogger(__name__)


class ImageStoreDataset(OwnVersionDataset[Any]):
    """Versions that each name a packed file; packed files are addressed by content, and shared by all of them.

    Saves a `Packing`, loads an `ImageStore`. Saving what is packed already packs nothing: unchanged raw data isn't
    packed again, but for what couldn't be read and can be now. Where another process packs images of this folder, it is
    waited for. What it left unfinished is taken over, and removed once a packed file is whole.

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
        if not self._is_packed(target, data):
            with held(self._folder / ".packing.lock", f"packing images into {self._folder}"):
                if not self._is_packed(target, data):
                    if not _serves(target, data):
                        self._pack(target, data)
                    self._packed.publish(target)
        with self._appearing() as temporary:
            temporary.write_text(json.dumps({"packed": target.name}), encoding="utf-8")

    def _is_packed(self, target: Path, data: Packing) -> bool:
        """Whether a packed file is there, lacks nothing, and is kept where artifacts are."""
        if not self._packed.exists(target):
            return False
        self._packed.fetch(target)
        return _serves(target, data)

    def _pack(self, target: Path, data: Packing) -> None:
        if target.exists() and not _opens(target):
            logger.warning("%s is damaged: its images are packed again", target)
        remove_left_over(self._folder)  # of earlier releases
        whole = [path for path in self._folder.glob("*.arrow") if not path.name.startswith(".")]
        unfinished = sorted(self._folder.glob(".unfinished-*.arrow"), key=_size, reverse=True)
        packed = PackedImages([*whole, *unfinished])
        for path in set(unfinished) - set(packed.adding):
            remove(path)
        temporary = next(path for n in count() if not (path := self._folder / f".unfinished-{n}.arrow").exists())
        try:
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
                for batch in data.batches(packed):
                    writer.write_batch(batch)
            temporary.replace(target)
        except OSError as error:
            full = is_disk_full(error)
            raise DatasetError(
                f"the image store {target} couldn't be written ("
                f"{'the disk is full' if full else error.strerror or error}); what was packed so far is kept. "
                f"{'Free disk space and run' if full else 'Run'} again: it goes on from there."
            ) from error
        for path in unfinished:
            remove(path)

    def _exists(self) -> bool:
        return self._is_there()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": told(self._filepath), "path": told(self._folder), "version": self._version}


def _serves(path: Path, data: Packing) -> bool:
    return _opens(path) and not data.lacks(ImageStore(path))


def _opens(path: Path) -> bool:
    try:
        ImageStore(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def _size(path: Path) -> int:
    return path.stat().st_size
