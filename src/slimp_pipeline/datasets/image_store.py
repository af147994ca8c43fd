"""The image store, addressed by what it was packed from."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError

from slimp_pipeline.images.store import SCHEMA, ImageStore, Packing


class ImageStoreDataset(AbstractDataset[Packing, ImageStore]):
    """A folder of Arrow files named by their packing key, and a note of which is current.

    Saving a key that is there already packs nothing: unchanged raw data isn't packed again.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder, self.metadata = Path(filepath), metadata

    def load(self) -> ImageStore:
        """Open the current store."""
        if not self._exists():
            raise DatasetError(f"no image store in {self._folder}. `kedro run --pipeline=ingest` packs one.")
        return ImageStore(self._folder / self._note.read_text().strip())

    def save(self, data: Packing) -> None:
        """Stream the packed images to disk, unless this very packing is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{data.key}.arrow"
        if not target.is_file():
            self._write(target, data)
        temporary = self._note.with_suffix(".tmp")
        temporary.write_text(target.name)
        os.replace(temporary, self._note)

    @property
    def _note(self) -> Path:
        return self._folder / "current"

    def _write(self, target: Path, data: Packing) -> None:
        for unfinished in self._folder.glob("*.tmp"):  # of a run that was killed
            unfinished.unlink()
        temporary = target.with_suffix(".tmp")
        try:
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
                for batch in data.batches():
                    writer.write_batch(batch)
            os.replace(temporary, target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise DatasetError(
                f"the image store {target} couldn't be written ({error.strerror or error}); nothing else was lost. "
                "Free disk space and run again."
            ) from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _exists(self) -> bool:
        return self._note.is_file() and (self._folder / self._note.read_text().strip()).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._folder}
