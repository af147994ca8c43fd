"""One picture's pixels from its encoded bytes, by the decoders that training reads the store with."""

import io

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

_JPEG = b"\xff\xd8"


def pixels(encoded: bytes | memoryview, *, grey: bool = False) -> Tensor:
    """Decode a JPEG or PNG: uint8 (3, H, W), or (1, H, W) of its luminance.

    JPEGs are read by simplejpeg, the fastest of those measured (docs/operate/performance.md); what it doesn't take, and
    PNGs, by Pillow. torchvision's decoder is a tenth faster on PNGs, and ends the process where one is damaged.

    Raises:
        RuntimeError: If no whole picture can be decoded.
    """
    data = memoryview(encoded).cast("B")
    if data[:2] == _JPEG:
        try:
            image_HWC = simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB")
        except ValueError:  # damaged, or of colours that it doesn't turn into RGB
            pass
        else:
            return torch.from_numpy(image_HWC).permute(2, 0, 1)
    return _by_pillow(bytes(data), "L" if grey else "RGB")


def _by_pillow(encoded: bytes, mode: str) -> Tensor:
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as picture:
            if picture.format == "JPEG" and mode == "L":
                picture.draft("L", picture.size)  # its luminance as it is, rather than of its colours
            image = np.array(picture.convert(mode))
    except Exception as error:  # whatever Pillow's decoders meet
        raise RuntimeError(f"no whole picture can be decoded: {str(error) or type(error).__name__}") from error
    image_HWC = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(image_HWC).permute(2, 0, 1)
