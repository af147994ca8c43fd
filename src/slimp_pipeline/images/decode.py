"""From the store to batches of uint8 pixels: what input workers do, and all that they do."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from multiprocessing.queues import Queue

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import center_crop

from slimp_pipeline.images.pixels import pixels
from slimp_pipeline.images.store import ImageStore

CANVAS_MARGIN = 1.25  # the canvas may be this much wider than the network's input, so that crops stay sharp


class DecodedImages(Dataset[tuple[Tensor, Tensor]]):
    """Decoded square images on a common canvas, by batches of store rows.

    Args:
        store: The image store.
        image_size: Side of the network's input in pixels.
    """

    def __init__(self, store: ImageStore, image_size: int) -> None:
        self.store = store
        self.image_size = image_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Decode store rows `indices`; returns canvases and sides as `fit_canvas` does."""
        return fit_canvas([self.store.encoded(int(index)) for index in indices], self.image_size)


def decoded_batches(
    store: ImageStore, image_size: int, batches: Iterable[list[int]], num_workers: int, *, pin_memory: bool = False
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Decode batches of store rows, in order, in worker processes; yields what `fit_canvas` returns."""
    return DataLoader(
        DecodedImages(store, image_size),
        batch_sampler=batches,
        collate_fn=_as_is,  # type: ignore[arg-type]  # the dataset gives whole batches
        num_workers=num_workers,
        pin_memory=pin_memory,
        prefetch_factor=4 if num_workers else None,
        worker_init_fn=_end_where_a_batch_is_lost,
    )


def fit_canvas(encoded: Sequence[bytes | memoryview], image_size: int) -> tuple[Tensor, Tensor]:
    """Decode JPEG or PNG bytes onto one common canvas.

    An image larger than the canvas is downscaled to it with antialiasing, once and here, because the
    batched augmentation samples bilinearly; a smaller one keeps its pixels and fills the canvas's
    corner. The longer side is cropped to the centre: lesions are photographed in the middle.

    Returns:
        canvas_B3SS: uint8, S = the largest side of the batch, at most 1.25 image_size; pixels outside an
            image are zero and never sampled.
        side_px_B: int64, the side of each image on its canvas.
    """
    max_px = round(image_size * CANVAS_MARGIN)
    images = [_decode_square(raw, max_px) for raw in encoded]
    sides = [image_3SS.shape[1] for image_3SS in images]
    canvas_px = max(sides, default=max_px)
    canvas_B3SS = torch.zeros(len(images), 3, canvas_px, canvas_px, dtype=torch.uint8)
    for row, (image_3SS, side) in enumerate(zip(images, sides, strict=True)):
        canvas_B3SS[row, :, :side, :side] = image_3SS
    return canvas_B3SS, torch.tensor(sides, dtype=torch.int64)


def _decode_square(encoded: bytes | memoryview, max_px: int) -> Tensor:
    image_3HW = pixels(encoded)
    height, width = image_3HW.shape[1:]
    side = min(height, width)
    if height != width:
        image_3HW = center_crop(image_3HW, [side, side])
    if side > max_px:
        image_3HW = F.interpolate(image_3HW[None], size=(max_px, max_px), mode="bilinear", antialias=True)[0]
    return image_3HW


def _as_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


def _end_where_a_batch_is_lost(_: int) -> None:
    """A worker that can't hand over a batch (/dev/shm is full) drops it, and its reader would wait for ever."""

    def end(error: Exception, _: object) -> None:
        print(f"an input worker can't hand over its pictures: {error}", file=sys.stderr, flush=True)
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):  # sent to all: whoever reads finishes its step, and ends its workers
        signal.signal(number, signal.SIG_IGN)
    Queue._on_queue_feeder_error = staticmethod(end)  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks: large activations else go back to the system at every step.

    With torch on the CPU this can more than double the throughput; elsewhere than glibc it does nothing.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**30)
    except (OSError, AttributeError):
        return
