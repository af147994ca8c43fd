"""Input pipelines of others, with this project's operations at its default strengths: crop, flip, rotation, colours.

They come with the extra `bench` and are measured against, no more: the product imports none of them. AlbumentationsX
is under the AGPL, so it must never become a dependency of the product.
"""

import io
import os
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms

from slimp_pipeline.images.store import ImageStore

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
LEAST_CROP, DEGREES, JITTER, HUE = 0.5, 180, 0.2, 7 / 360


class PerImage(Dataset):
    """What most training scripts do: decode, augment and normalise one picture at a time, in workers.

    Args:
        store: Where the encoded pictures are.
        views: From encoded bytes to the picture's views, each (3, H, H).
    """

    def __init__(self, store: ImageStore, views: Callable[[memoryview], list[Tensor]]) -> None:
        self.store, self.views = store, views

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.views(self.store.encoded(index))


def torchvision_pil(size: int) -> Callable[[memoryview], list[Tensor]]:
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(LEAST_CROP, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(DEGREES),
            transforms.ColorJitter(JITTER, JITTER, JITTER, HUE),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return lambda encoded: [transform(_opened(encoded))]


def lightly_simclr(size: int) -> Callable[[memoryview], list[Tensor]]:
    """Two views of each picture; without SimCLR's blur and grey, which this project doesn't draw."""
    from lightly.transforms.simclr_transform import SimCLRTransform

    transform = SimCLRTransform(
        size, min_scale=LEAST_CROP, rr_prob=1.0, rr_degrees=DEGREES, random_gray_scale=0.0, gaussian_blur=0.0,
        cj_prob=1.0, cj_bright=JITTER, cj_contrast=JITTER, cj_sat=JITTER, cj_hue=HUE,
    )  # fmt: skip
    return lambda encoded: transform(_opened(encoded))


def albumentations_x(size: int) -> Callable[[memoryview], list[Tensor]]:
    """Decoded and computed by OpenCV, on one thread."""
    os.environ |= {"NO_ALBUMENTATIONS_UPDATE": "1", "ALBUMENTATIONS_NO_TELEMETRY": "1"}
    import albumentations
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    factor = (1 - JITTER, 1 + JITTER)
    transform = albumentations.Compose(
        [
            albumentations.RandomResizedCrop((size, size), scale=(LEAST_CROP, 1.0)),
            albumentations.HorizontalFlip(),
            albumentations.Rotate((-DEGREES, DEGREES), border_mode=cv2.BORDER_REFLECT, p=1.0),
            albumentations.ColorJitter(factor, factor, factor, (-HUE, HUE), p=1.0),
            albumentations.Normalize(MEAN.tolist(), STD.tolist()),
            ToTensorV2(),
        ]
    )

    def views(encoded: memoryview) -> list[Tensor]:
        image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
        return [transform(image=image)["image"]]

    return views


def _opened(encoded: memoryview) -> Image.Image:
    return Image.open(io.BytesIO(encoded)).convert("RGB")
