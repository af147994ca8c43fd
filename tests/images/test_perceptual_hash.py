"""The perceptual hash against ImageHash's, and what it must do besides."""

from collections.abc import Callable

import imagehash
import numpy as np
import pytest
from PIL import Image

from slimp_pipeline.images.perceptual_hash import perceptual_hash

MakePicture = Callable[..., Image.Image]


def num_differing(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_hashes_are_those_of_imagehash_but_for_a_bit_here_and_there(make_picture: MakePicture) -> None:
    differing = []
    for seed in range(60):
        grey = make_picture(20 + 3 * seed, 150 - seed, seed).convert("L")
        differing.append(num_differing(perceptual_hash(np.asarray(grey)), int(str(imagehash.phash(grey)), 16)))
    assert max(differing) <= 2
    assert sum(number > 0 for number in differing) <= 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2000, 1), (32, 32), (7, 500)])
@pytest.mark.parametrize("grey", [0, 1, 127, 255])
def test_a_plain_picture_has_its_lowest_frequency_alone_whatever_its_shape(height: int, width: int, grey: int) -> None:
    assert perceptual_hash(np.full((height, width), grey, np.uint8)) == (1 << 63 if grey else 0)


def test_sharp_edges_stay_within_the_range_of_pixels() -> None:
    grey = Image.fromarray(np.kron(np.eye(6, dtype=np.uint8), np.full((16, 16), 255, np.uint8)))
    assert perceptual_hash(np.asarray(grey)) == int(str(imagehash.phash(grey)), 16)
