"""Perceptual hashes of pictures that may have been turned or mirrored, from the hashes alone."""

import numpy as np

_PAIRS_AT_ONCE = 2**18  # each takes 64 bytes and more
_ODD = np.arange(8) % 2 == 1  # of the frequencies along a side: those whose sign a mirror changes


def turned_distance(one_E: np.ndarray, other_E: np.ndarray) -> np.ndarray:
    """Fewest bits in which two hashes differ, in any of the eight ways to turn and mirror one picture: uint8 (E,).

    Upright pictures are compared exactly. A turned picture's hash is worked out, not taken anew: mirroring a picture
    changes the sign of its odd frequencies, and each bit says whether a frequency is above the median, which is near
    zero. So a turned copy is a few bits away rather than none.

    Args:
        one_E: 64-bit hashes as `images.perceptual_hash` makes them, uint64 (E,).
        other_E: Likewise.
    """
    nearest_E = np.empty(len(one_E), dtype=np.uint8)
    for start in range(0, len(one_E), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        nearest_E[part] = _turned_distance(one_E[part], other_E[part])
    return nearest_E


def _turned_distance(one_E: np.ndarray, other_E: np.ndarray) -> np.ndarray:
    bits_E88 = np.unpackbits(one_E.astype(">u8").view(np.uint8)).reshape(-1, 8, 8)
    nearest_E = np.full(len(one_E), 64, dtype=np.uint8)
    for turned_E88 in (bits_E88, bits_E88.transpose(0, 2, 1)):
        for upside_down in (False, True):
            for mirrored in (False, True):
                flipped_88 = (_ODD[:, None] & upside_down) ^ (_ODD[None, :] & mirrored)
                packed = np.packbits((turned_E88 ^ flipped_88).reshape(-1, 64), axis=1)
                turned_E = packed.view(">u8").ravel().astype(np.uint64)
                np.minimum(nearest_E, np.bitwise_count(turned_E ^ other_E), out=nearest_E)
    return nearest_E
