"""From the store to batches of uint8 pixels: what input workers do, and all that they do."""

import ctypes
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as F

from slimp_pipeline.images.store import ImageStore

CANVAS_MARGIN = 1.25  # the canvas is this much wider than the network's input, so that crops stay sharp


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


def fit_canvas(encoded: Sequence[bytes | memoryview], image_size: int) -> tuple[Tensor, Tensor]:
    """Decode JPEG or PNG bytes onto one common canvas.

    An image larger than the canvas is downscaled to it with antialiasing, once and here, because the
    batched augmentation samples bilinearly; a smaller one keeps its pixels and fills the canvas's
    corner. The longer side is cropped to the centre: lesions are photographed in the middle.

    Returns:
        canvas_B3SS: uint8, S = 1.25 image_size; pixels outside an image are zero and never sampled.
        side_px_B: int64, the side of each image on its canvas.
    """
    canvas_px = round(image_size * CANVAS_MARGIN)
    canvas_B3SS = torch.zeros(len(encoded), 3, canvas_px, canvas_px, dtype=torch.uint8)
    side_px_B = torch.empty(len(encoded), dtype=torch.int64)
    for row, raw in enumerate(encoded):
        image_3SS = _decode_square(raw, canvas_px)
        side = image_3SS.shape[1]
        canvas_B3SS[row, :, :side, :side] = image_3SS
        side_px_B[row] = side
    return canvas_B3SS, side_px_B


def _decode_square(encoded: bytes | memoryview, canvas_px: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the store's memory is read-only, and only read
        raw = torch.frombuffer(encoded, dtype=torch.uint8)
    image_3HW = decode_image(raw, ImageReadMode.RGB)
    height, width = image_3HW.shape[1:]
    side = min(height, width)
    if height != width:
        image_3HW = F.center_crop(image_3HW, [side, side])
    if side > canvas_px:
        image_3HW = F.resize(image_3HW, [canvas_px, canvas_px], antialias=True)
    return image_3HW


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
