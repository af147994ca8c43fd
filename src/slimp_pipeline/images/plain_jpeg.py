"""The commonest picture: a JPEG that needs nothing but to be decoded, as its markers alone tell."""

import struct
from typing import NamedTuple

from slimp_pipeline.images.metadata import JPEG_MARKER, is_exact, needed

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAME, _SCAN = 0xC0, 0xDA  # baseline: one pass over the picture, however long the file
_TABLES = {0xC4, 0xDB, 0xDD}  # Huffman, quantisation, restart interval
_FIRST_APPLICATION = 0xE0
_FRAME_LENGTH, _SCAN_LENGTH = 17, 12  # of three components
_LUMA, _COLOUR = {0x11, 0x12, 0x21, 0x22}, 0x11  # samples across and down: no decoder lacks these


class PlainJpeg(NamedTuple):
    """Its bytes, without what may follow the picture, and its size."""

    encoded: bytes
    width_px: int
    height_px: int


def plain_jpeg(raw: bytes) -> PlainJpeg | None:
    """Recognise a JPEG of three components with 8 bits in one baseline scan, without metadata; None for any other.

    Whether it can be decoded shows when it is. Markers as in ITU-T T.81, B.1.1 and B.2.
    """
    size, start = None, len(_START)
    if not raw.startswith(_START):
        return None
    try:
        while True:
            filled, marker, length = struct.unpack_from(">BBH", raw, start)
            if filled != 0xFF:
                return None
            if marker == _SCAN:
                break
            if marker == _FRAME and size is None:
                size = _size(raw, start, length)
            elif marker in _TABLES:
                if not is_exact(raw[start : start + 2 + length]):
                    return None
            elif not _is_needed(marker, raw[start : start + 2 + length]):
                return None
            start += 2 + length
        end = JPEG_MARKER.search(raw, start + 2 + length)
        if size is None or (length, raw[start + 4]) != (_SCAN_LENGTH, 3) or end is None or end[0] != _END:
            return None
    except (struct.error, IndexError):  # it ends within a segment
        return None
    return PlainJpeg(raw[: end.end()], *size)


def _is_needed(marker: int, segment: bytes) -> bool:
    """Whether a segment says how numbers are meant, with nothing else in it, such as a preview."""
    return marker >= _FIRST_APPLICATION and needed(marker, segment) == segment


def _size(raw: bytes, start: int, length: int) -> tuple[int, int] | None:
    bits, height, width, num_components, luma, first, second = struct.unpack_from(">BHHBxBxxBxxB", raw, start + 4)
    usual = luma in _LUMA and first == second == _COLOUR
    return (width, height) if usual and (length, bits, num_components) == (_FRAME_LENGTH, 8, 3) else None
