"""Check of one raw image: decoded whole, made upright RGB, resized where oversize, without EXIF."""

import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from slimp_pipeline.cohorts.files.hdf5_entry import too_large
from slimp_pipeline.images.formats import FORMATS, why_no_photograph, why_not_read
from slimp_pipeline.images.limits import time_limit
from slimp_pipeline.images.metadata import jpeg_without_metadata, png_without_metadata
from slimp_pipeline.images.perceptual_hash import perceptual_hash
from slimp_pipeline.images.pixels import pixels
from slimp_pipeline.images.plain_jpeg import plain_jpeg
from slimp_pipeline.parameters import IngestParams

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF tags


@dataclass(frozen=True)
class CheckedImage:
    """An image as it goes into the store: encoded bytes, size in pixels, what it looks like in grey (uint8)."""

    encoded: bytes
    width_px: int
    height_px: int
    grey_HW: np.ndarray

    @property
    def perceptual_hash(self) -> int:
        """64 bits, worked out when asked for."""
        return perceptual_hash(self.grey_HW)


class ImageRefused(ValueError):
    """The image can't be used; the message says why."""


def check_image(raw: bytes, settings: IngestParams) -> CheckedImage:
    """Check one image and bring it into the form that the store holds.

    Official bytes are kept where the image is an upright 8-bit RGB JPEG or PNG that is small enough; EXIF
    and whatever else isn't pixels is cut out without touching them. Such a JPEG without metadata is decoded once, by
    the training decoder; other pictures are judged and decoded by Pillow first. Everything else is re-encoded:
    lossless as PNG where the raw format is lossless and no resizing is needed, else as JPEG.
    No other program is started, whatever the bytes say. The limit of time works in the main thread only, see
    `time_limit`.

    Raises:
        ImageRefused: If the bytes are no whole, single, 8-bit picture in one of `formats.FORMATS`, or exceed the
            limits of size or time.
    """
    try:
        with time_limit(settings.max_seconds_per_image):
            return _checked(raw, settings)
    except ImageRefused:
        raise
    except TimeoutError as error:
        raise ImageRefused(
            f"checking it takes longer than the {settings.max_seconds_per_image:g} s that "
            "ingest.max_seconds_per_image allows"
        ) from error
    except MemoryError as error:
        raise ImageRefused("checking it takes more memory than a picture may") from error
    except Image.DecompressionBombError as error:
        found = re.search(r"\((\d+) pixels\)", str(error))  # Pillow's words: it looks before it decodes
        size = f": {int(found[1]) / 1e6:,.0f} megapixels" if found else ""
        raise ImageRefused(
            f"too many pixels{size}, more than the {settings.max_megapixels:g} that ingest.max_megapixels allows"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise ImageRefused(why_not_read(raw)) from error
    except Exception as error:  # Pillow's decoders raise whatever their parser meets
        raise ImageRefused(f"damaged: {str(error) or type(error).__name__}") from error


def _checked(raw: bytes, settings: IngestParams) -> CheckedImage:
    if not raw:
        raise ImageRefused("the file is empty")
    if reason := too_large(len(raw), settings.max_file_mb):
        raise ImageRefused(reason)
    plain = plain_jpeg(raw)
    if plain and not _exceeds(plain.width_px, plain.height_px, settings):
        grey_1HW = _decoded(plain.encoded, grey=True)  # all bytes are read; colour isn't worked out
        return CheckedImage(*plain, grey_1HW.numpy()[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what it then refuses or repairs
        return _checked_by_pillow(raw, settings)


def _checked_by_pillow(raw: bytes, settings: IngestParams) -> CheckedImage:
    rgb, kept_format, lossless = _open(raw, settings)
    oversize = max(rgb.size) > settings.max_side_px
    if oversize:
        rgb.thumbnail((settings.max_side_px, settings.max_side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    encoded = None
    if kept_format and not oversize:
        encoded = jpeg_without_metadata(raw) if kept_format == "JPEG" else png_without_metadata(raw)
    if encoded is None:
        encoded = _encode(rgb, "PNG" if lossless and not oversize else "JPEG", settings)
    _decoded(encoded)
    return CheckedImage(encoded, rgb.width, rgb.height, np.asarray(rgb.convert("L")))


def _exceeds(width_px: int, height_px: int, settings: IngestParams) -> bool:
    too_many = width_px * height_px / 1e6 > settings.max_megapixels
    return too_many or max(width_px, height_px) > settings.max_side_px


def _open(raw: bytes, settings: IngestParams) -> tuple[Image.Image, str | None, bool]:
    """Return the upright RGB picture, the format in which its bytes may be kept, whether it was lossless."""
    picture = Image.open(io.BytesIO(raw), formats=FORMATS)
    _refuse_unsuitable(picture, raw, settings)
    picture.load()
    is_jpeg = picture.format in ("JPEG", "MPO")
    return _upright_rgb(picture), _kept_format(picture, raw), not is_jpeg


def _refuse_unsuitable(picture: Image.Image, raw: bytes, settings: IngestParams) -> None:
    tags = getattr(picture, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)  # unpacked whole, however small the picture
    for what, (width, height) in (("pixels", picture.size), ("pixels in a tile", tile)):
        if width * height / 1e6 > settings.max_megapixels:
            raise ImageRefused(
                f"{width} x {height} {what}: more than the {settings.max_megapixels:g} megapixels that "
                "ingest.max_megapixels allows"
            )
    if reason := why_no_photograph(picture, raw):
        raise ImageRefused(reason)
    # Frames aren't counted: a file may hold millions. Phones append a depth or gain map to the photograph.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise ImageRefused("several frames or pages, not one picture")
    if picture.mode.startswith(("I", "F")):
        raise ImageRefused(f"16-bit or floating-point greyscale (mode {picture.mode}), not a photograph")


def _kept_format(picture: Image.Image, raw: bytes) -> str | None:
    upright = picture.getexif().get(_ORIENTATION, 1) == 1
    if picture.mode != "RGB" or not upright or "transparency" in picture.info:
        return None
    if picture.format in ("JPEG", "MPO"):
        return "JPEG"
    eight_bit = raw[24] == 8  # in a PNG's header; Pillow reads 16 bits as 8, the training decoder doesn't
    return "PNG" if picture.format == "PNG" and eight_bit else None


def _upright_rgb(picture: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema() != (255, 255):
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return upright.convert("RGB")


def _encode(rgb: Image.Image, file_format: str, settings: IngestParams) -> bytes:
    buffer = io.BytesIO()
    clean = Image.frombytes("RGB", rgb.size, rgb.tobytes())  # drops whatever the file carried along
    options = {"quality": settings.jpeg_quality, "subsampling": 0} if file_format == "JPEG" else {}
    clean.save(buffer, file_format, **options)
    return buffer.getvalue()


def _decoded(encoded: bytes, *, grey: bool = False) -> Tensor:
    """What the training decoder, which must read what goes into the store, makes of it."""
    try:
        return pixels(encoded, grey=grey)
    except RuntimeError as error:
        raise ImageRefused("damaged: no whole picture can be decoded from it") from error
