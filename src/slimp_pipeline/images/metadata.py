"""Metadata of JPEG and PNG files, cut out without touching the pixels."""

import re
import struct
import zlib
from functools import lru_cache

JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)  # that ends entropy-coded data
_PNG_END, _PNG_CRITICAL, _INDEXED = b"IEND\xaeB`\x82", {b"IHDR", b"PLTE", b"IDAT", b"IEND"}, b"\x03"
_PNG_HEADER = struct.Struct(">IIBBBBB")  # width, height, bits, colour type, compression, filter, interlacing
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
JFIF, ADOBE = b"JFIF\0", b"Adobe"  # how those segments start which say how a picture's numbers are meant


def jpeg_without_metadata(jpeg: bytes) -> bytes | None:
    """Keep of a JPEG what its pixels are made from, and nothing else; pixels stay as they are.

    Frames, tables, scans and their data are kept, JFIF's density and Adobe's colour space. EXIF, XMP, ICC, comments,
    previews, whatever stands between segments or behind the picture goes (ITU-T T.81, B.1.1 and B.2). None where a
    frame, table or scan isn't as that says: something else may be in it.
    """
    kept, position, in_scan = [jpeg[:2]], 2, False
    while match := JPEG_MARKER.search(jpeg, position):
        start, marker = match.start(), jpeg[match.start() + 1]
        if in_scan:
            kept.append(jpeg[position:start])
        if marker == 0xD9:  # end of image
            return b"".join([*kept, b"\xff\xd9"])
        position = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if 0xC0 <= marker <= 0xDF and not is_exact(jpeg[start:position]):
            return None
        kept.append(needed(marker, jpeg[start:position]))
        in_scan = marker == 0xDA
    return b"".join([*kept, jpeg[position:] if in_scan else b""])


def needed(marker: int, segment: bytes) -> bytes:
    """What of a segment the pixels depend on."""
    if 0xC0 <= marker <= 0xDF:
        return segment
    if marker == 0xE0 and segment[4:9] == JFIF:  # may be followed by a preview, of this size
        return b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0"
    if marker == 0xEE and segment[4:9] == ADOBE:
        return b"\xff\xee\x00\x0e" + segment[4:16]
    return b""


@lru_cache(maxsize=256)  # most cameras write the same few tables
def is_exact(segment: bytes) -> bool:
    """Whether a frame, table or scan header is as long as what it holds, and no Huffman table has a value twice.

    Markers that hardly any file has are not known here (ITU-T T.81, B.2).
    """
    marker, content = segment[1], segment[4:]
    if marker == 0xC4:
        return _are_huffman_tables(content)
    if marker == 0xDB:
        return _are_quantisation_tables(content)
    if marker == 0xDD:
        return len(content) == 2
    if marker == 0xDA:
        return len(content) > 0 and len(content) == 4 + 2 * content[0]
    return marker in (0xC0, 0xC1, 0xC2) and len(content) > 5 and len(content) == 6 + 3 * content[5]


def _are_huffman_tables(content: bytes) -> bool:
    while content:
        end = 17 + sum(content[1:17])
        values, content = content[17:end], content[end:]
        if len(values) < end - 17 or len(set(values)) < len(values):
            return False
    return True


def _are_quantisation_tables(content: bytes) -> bool:
    while content:
        end = 129 if content[0] >> 4 else 65
        if len(content) < end:
            return False
        content = content[end:]
    return True


def png_without_metadata(png: bytes) -> bytes | None:
    """Keep a PNG's critical chunks, which are its pixels, and nothing else (PNG specification, 4.8).

    None where these hold more or less than one picture of that size, row by row: something else may be in it.
    """
    kept, position, header, pixels = [png[:8]], 8, b"", []
    while position < len(png) and not kept[-1].endswith(_PNG_END):
        end = position + 12 + int.from_bytes(png[position : position + 4], "big")
        kind, content = png[position + 4 : position + 8], png[position + 8 : end - 4]
        if kind[:1].isupper():
            kept.append(png[position:end])
        if kind == b"IHDR" and not header:
            header = content
        elif kind == b"IDAT":
            pixels.append(content)
        elif (kind == b"PLTE" and header[9:10] != _INDEXED) or (kind[:1].isupper() and kind not in _PNG_CRITICAL):
            return None
        position = end
    return b"".join(kept) if _is_one_picture(header, b"".join(pixels)) else None


def _is_one_picture(header: bytes, pixels: bytes) -> bool:
    """Whether compressed rows are those of the header's size and end with it; interlaced ones aren't looked into."""
    if len(header) != _PNG_HEADER.size:
        return False
    width, height, bits, colour, _, _, interlaced = _PNG_HEADER.unpack(header)
    row = 1 + -(-width * bits * _PNG_CHANNELS.get(colour, 0) // 8)
    inflated = zlib.decompressobj()
    try:
        size = len(inflated.decompress(pixels, height * row + 1))
    except zlib.error:
        return False
    return not interlaced and size == height * row and inflated.eof and not inflated.unused_data
