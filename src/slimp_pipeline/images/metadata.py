"""Metadata of JPEG and PNG files, cut out without touching the pixels."""

import re

JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)  # that ends entropy-coded data


def jpeg_without_metadata(jpeg: bytes) -> bytes:
    """Cut EXIF, XMP, ICC, comments and whatever follows the picture out of a JPEG; pixels stay as they are.

    Segments APP1 to APP13, APP15 and COM go, wherever they stand (ITU-T T.81, B.1.1 and B.2).
    """
    kept, position = [jpeg[:2]], 2
    while match := JPEG_MARKER.search(jpeg, position):
        start, marker = match.start(), jpeg[match.start() + 1]
        kept.append(jpeg[position:start])
        if marker == 0xD9:  # end of image
            return b"".join([*kept, b"\xff\xd9"])
        position = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            kept.append(jpeg[start:position])
    return b"".join([*kept, jpeg[position:]])


def png_without_metadata(png: bytes) -> bytes:
    """Keep a PNG's critical chunks, which are its pixels, and nothing else (PNG specification, 4.8)."""
    kept, position = [png[:8]], 8
    while position < len(png) and not kept[-1].endswith(b"IEND\xaeB`\x82"):
        end = position + 12 + int.from_bytes(png[position : position + 4], "big")
        if png[position + 4 : position + 5].isupper():
            kept.append(png[position:end])
        position = end
    return b"".join(kept)
