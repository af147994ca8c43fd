"""One picture's pixels from its encoded bytes, by the decoder that training reads the store with."""

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

_JPEG = b"\xff\xd8"


def pixels(encoded: bytes | memoryview, *, grey: bool = False) -> Tensor:
    """Decode a JPEG or PNG: uint8 (3, H, W), or (1, H, W) of its luminance.

    JPEGs are read by simplejpeg, the fastest of those measured (docs/operate/performance.md); what it doesn't take, and
    PNGs, by torchvision. Both are libjpeg-turbo, and give the same pixels.

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
    writable = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())
    return decode_image(writable, ImageReadMode.GRAY if grey else ImageReadMode.RGB)
