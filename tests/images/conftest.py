"""Small pictures as bytes."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slimp_pipeline.parameters import IngestParams


def noise(height: int = 24, width: int = 32, seed: int = 0) -> Image.Image:
    """A smooth picture with a dark upper left corner, so that turning it shows."""
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(60, 250, (4, 5, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).copy()
    pixels[: height // 4, : width // 4] = 10
    return Image.fromarray(pixels)


def encode(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def decode(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bit_depth: int, colour_type: int, rows: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    end = png_chunk(b"IEND", b"")
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header), *more, png_chunk(b"IDAT", zlib.compress(rows)), end]
    )


@pytest.fixture
def ingest() -> IngestParams:
    return IngestParams(max_side_px=64, max_megapixels=1.0, num_processes=1)


@pytest.fixture
def make_picture() -> Callable[..., Image.Image]:
    return noise


@pytest.fixture
def to_bytes() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def to_pixels() -> Callable[[bytes], np.ndarray]:
    return decode


@pytest.fixture
def make_png() -> Callable[..., bytes]:
    return png


@pytest.fixture
def make_png_chunk() -> Callable[[bytes, bytes], bytes]:
    return png_chunk
