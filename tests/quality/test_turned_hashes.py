"""Hashes of pictures that were turned or mirrored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from slimp_pipeline.images.perceptual_hash import perceptual_hash
from slimp_pipeline.quality.turned_hashes import turned_distance

HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)
TURNS = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "by a quarter": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "by a half": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "by three quarters": lambda picture: picture.transpose(Image.Transpose.ROTATE_270),
    "transposed": lambda picture: picture.transpose(Image.Transpose.TRANSPOSE),
    "transversed": lambda picture: picture.transpose(Image.Transpose.TRANSVERSE),
}


def as_array(hashes):
    return np.array(hashes, dtype=np.uint64)


def slow_turns(value):
    """The eight hashes of a picture, bit by bit: bit 63 is frequency (0, 0), bit 0 is (7, 7)."""
    bits = [[value >> (63 - 8 * u - v) & 1 for v in range(8)] for u in range(8)]
    for swapped in (False, True):
        for by_rows in (0, 1):
            for by_columns in (0, 1):
                turned = 0
                for u in range(8):
                    for v in range(8):
                        bit = bits[v][u] if swapped else bits[u][v]
                        turned = turned << 1 | bit ^ (by_rows & u & 1) ^ (by_columns & v & 1)
                yield turned


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1, max_size=4))
def test_the_least_distance_of_eight_turns_is_found_bit_by_bit(pairs):
    one, other = zip(*pairs, strict=True)
    expected = [min((turned ^ b).bit_count() for turned in slow_turns(a)) for a, b in pairs]
    assert turned_distance(as_array(one), as_array(other)).tolist() == expected


@given(HASHES)
def test_a_hash_is_no_bit_away_from_itself_and_never_further_than_upright(hashes):
    assert (turned_distance(as_array(hashes), as_array(hashes)) == 0).all()
    shifted = as_array(hashes[1:] + hashes[:1])
    assert (turned_distance(as_array(hashes), shifted) <= np.bitwise_count(as_array(hashes) ^ shifted)).all()


@given(HASHES, HASHES)
def test_the_distance_is_symmetric(one, other):
    count = min(len(one), len(other))
    one, other = as_array(one[:count]), as_array(other[:count])
    assert turned_distance(one, other).tolist() == turned_distance(other, one).tolist()


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_a_turned_picture_is_a_few_bits_away_where_its_own_hash_is_half_of_them(make_skin, turn):
    turned, upright = [], []
    for seed in range(20):
        picture = Image.fromarray(make_skin(seed)).convert("L")
        pair = [as_array([perceptual_hash(np.asarray(one))]) for one in (picture, turn(picture))]
        turned.append(int(turned_distance(*pair)[0]))
        upright.append(int(np.bitwise_count(pair[0] ^ pair[1])[0]))
    assert np.median(turned) <= 6 and np.median(upright) >= 15
