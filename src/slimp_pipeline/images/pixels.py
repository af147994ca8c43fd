"""One picture's pixels from its encoded bytes, by the decoders that training reads the store with."""

import io

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

_JPEG = b"\xff\xd8"


def pixels(encoded: bytes | memoryview, *, grey: bool = False) -> Tensor:
    """Decode a JPEG or PNG: uint8 (3, H, W), or (1, H, W) of its luminance.

    JPEGs are read by simplejpeg, the fastest of those measured (docs/operate/performance.md), what it doesn't take by
    torchvision, which refuses truncated ones; PNGs by Pillow. torchvision's decoder is a tenth faster on PNGs, and ends
    the process where one is damaged.

    Raises:
        RuntimeError: If no whole picture can be decoded.
    """
    data = memoryview(encoded).cast("B")
    if data[:2] == _JPEG:
        try:
            image_HWC = simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB")
        except ValueError:  # damaged, or of colours that it doesn't turn into RGB
            writable = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())
            return decode_jpeg(writable, ImageReadMode.GRAY if grey else ImageReadMode.RGB)
        return torch.from_numpy(image_HWC).permute(2, 0, 1)
    return _png(bytes(data), "L" if grey else "RGB")


def _png(encoded: bytes, mode: str) -> Tensor:
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG",)) as picture:
            image = np.array(picture.convert(mode))
    except Exception as error:  # whatever Pillow's decoder meets
        raise RuntimeError(f"no whole picture can be decoded: {str(error) or type(error).__name__}") from error
    return torch.from_numpy(image[..., None] if image.ndim == 2 else image).permute(2, 0, 1)
