"""Bytes of pictures, in every format that is read."""

import io
import struct
import zlib
from random import Random

import numpy as np
from mutation import mutated_bytes
from PIL import Image
from target import Target

from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.images.pixels import pixels
from slimp_pipeline.parameters import IngestParams

_RGB = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def encoded(mode: str, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_RGB).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def seeds() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    jpegs = [encoded("RGB", "JPEG"), encoded("RGB", "JPEG", progressive=True), encoded("L", "JPEG")]
    jpegs += [encoded("CMYK", "JPEG"), encoded("RGB", "JPEG", exif=exif, comment=b"somebody")]
    pngs = [encoded(mode, "PNG") for mode in ("RGB", "RGBA", "P", "L", "LA", "1", "I;16")]
    tiffs = [encoded("RGB", "TIFF", compression=how) for how in (None, "tiff_lzw", "tiff_deflate", "jpeg")]
    others = [encoded("RGB", "BMP"), encoded("P", "BMP"), encoded("RGB", "WEBP"), encoded("P", "GIF")]
    return jpegs * 2 + pngs + tiffs + others


def _with_right_sums(png: bytes) -> bytes:
    """Chunks' checksums put right, so that what is in them is read."""
    parts, position = [png[:8]], 8
    while position + 12 <= len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        chunk = png[position + 4 : position + 8 + length]
        parts += [png[position : position + 4], chunk, struct.pack(">I", zlib.crc32(chunk))]
        position += 12 + length
    return b"".join(parts)


def _beside_the_pixels(encoded: bytes) -> bytes:
    """All but what may be any bytes, since pixels are made from them: a PNG's rows, a JPEG's quantisation and scans."""
    if encoded[:4] == b"\x89PNG":
        parts, position = [], 8
        while position < len(encoded):
            length = int.from_bytes(encoded[position : position + 4], "big")
            if encoded[position + 4 : position + 8] != b"IDAT":
                parts.append(encoded[position : position + 12 + length])
            position += 12 + length
        return b"".join(parts)
    parts, position = [], 2
    while encoded[position + 1] != 0xDA:
        length = int.from_bytes(encoded[position + 2 : position + 4], "big")
        if encoded[position + 1] != 0xDB:
            parts.append(encoded[position : position + 2 + length])
        position += 2 + length
    return b"".join(parts)


def make() -> Target:
    pictures, settings = seeds(), IngestParams(max_megapixels=1, max_side_px=64, max_file_mb=1)
    grown = IngestParams(max_megapixels=0.0001, max_side_px=16, max_file_mb=0.001)

    def draw(rng: Random) -> bytes:
        raw = mutated_bytes(rng, pictures)
        return _with_right_sums(raw) if raw[:4] == b"\x89PNG" and rng.random() < 0.7 else raw

    def call(raw: bytes) -> None:
        checked = check_image(raw, grown if len(raw) % 17 == 0 else settings)
        again = pixels(checked.encoded)
        assert tuple(again.shape) == (3, checked.height_px, checked.width_px)
        assert max(checked.height_px, checked.width_px) <= settings.max_side_px
        told = _beside_the_pixels(checked.encoded)
        assert b"somebody" not in told and b"Exif\0\0" not in told
        assert 0 <= checked.perceptual_hash < 2**64

    return Target(draw, call, (ImageRefused,), share=190)
