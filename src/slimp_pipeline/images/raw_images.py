"""Bytes of raw images, from files of their own or from one HDF5 file, read within the limits of ingest."""

import os
import stat
from types import TracebackType

import h5py

from slimp_pipeline.cohorts.files.hdf5_entry import NoPicture, read_entry, too_large
from slimp_pipeline.images.check import ImageRefused
from slimp_pipeline.parameters import IngestParams

_BYTES_PER_PIXEL = 24  # 20 were measured: WebP with alpha, turned and laid on white
_COPIES_OF_FILE = 4  # as it is read, without its metadata in parts and joined, for the training decoder
_UNREADABLE = "can't be read: "
_ROOM = 256_000_000  # for what is small beside a picture


class RawImages:
    """A reader that keeps the HDF5 file of the last image open for the next; closed by `with`."""

    def __init__(self, settings: IngestParams) -> None:
        self._settings = settings
        self._file: h5py.File | None = None
        self._path = ""  # of it

    def __enter__(self) -> "RawImages":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def read(self, path: str, key: str) -> bytes:
        """Read one image.

        Args:
            path: Its file, or the HDF5 file that holds it.
            key: Inside the HDF5 file, else empty.

        Raises:
            ImageRefused: If it can't be read, or is larger than `ingest.max_file_mb`, which is seen before it is read.
        """
        try:
            return self._entry(path, key) if key else self._whole_file(path)
        except OSError as error:
            raise ImageRefused(f"{_UNREADABLE}{error.strerror or error}") from error
        except MemoryError as error:
            raise ImageRefused("reading it takes more memory than a picture may") from error
        except NoPicture as refusal:
            raise ImageRefused(str(refusal)) from refusal

    def _whole_file(self, path: str) -> bytes:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ImageRefused("no regular file")
            if reason := too_large(found.st_size, self._settings.max_file_mb):
                raise ImageRefused(reason)
            return file.read()

    def _entry(self, path: str, key: str) -> bytes:
        if self._file is None or self._path != path:
            self._close()
            self._file, self._path = h5py.File(path, "r"), path
        return read_entry(self._file, key, max_mb=self._settings.max_file_mb)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _without_waiting(path: str, flags: int) -> int:
    """A pipe by a picture's name would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def may_be_readable_later(reason: object) -> bool:
    """Whether a refusal tells of rights, or of a share that was away, not of the picture: worth a second look.

    Args:
        reason: Why an image was refused; no text where it wasn't.
    """
    return isinstance(reason, str) and reason.startswith(_UNREADABLE)


def memory_per_image(settings: IngestParams) -> int:
    """Bytes that one image within the limits may take while it is read and checked."""
    pixels = settings.max_megapixels * 1e6 * _BYTES_PER_PIXEL
    return int(pixels + settings.max_file_mb * 1e6 * _COPIES_OF_FILE + _ROOM)
