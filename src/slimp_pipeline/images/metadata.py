"""Metadata of JPEG and PNG files, cut out without touching the pixels."""

import re

JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)  # that ends entropy-coded data
JFIF, ADOBE = b"JFIF\0", b"Adobe"  # how those segments start which say how a picture's numbers are meant


def jpeg_without_metadata(jpeg: bytes) -> bytes:
    """Keep of a JPEG what its pixels are made from, and nothing else; pixels stay as they are.

    Frames, tables, scans and their data are kept, JFIF's density and Adobe's colour space. EXIF, XMP, ICC, comments,
    previews, whatever stands between segments or behind the picture goes (ITU-T T.81, B.1.1 and B.2).
    """
    kept, position, in_scan = [jpeg[:2]], 2, False
    while match := JPEG_MARKER.search(jpeg, position):
        start, marker = match.start(), jpeg[match.start() + 1]
        if in_scan:
            kept.append(jpeg[position:start])
        if marker == 0xD9:  # end of image
            return b"".join([*kept, b"\xff\xd9"])
        position = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
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


def png_without_metadata(png: bytes) -> bytes:
    """Keep a PNG's critical chunks, which are its pixels, and nothing else (PNG specification, 4.8)."""
    kept, position = [png[:8]], 8
    while position < len(png) and not kept[-1].endswith(b"IEND\xaeB`\x82"):
        end = position + 12 + int.from_bytes(png[position : position + 4], "big")
        if png[position + 4 : position + 5].isupper():
            kept.append(png[position:end])
        position = end
    return b"".join(kept)
