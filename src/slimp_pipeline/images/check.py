"""Check of one raw image: decoded whole, made upright RGB, resized where oversize, without EXIF."""

import io
import warnings
from dataclasses import dataclass

import imagehash
import torch
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_image

from slimp_pipeline.parameters import IngestParams

_KEPT_FORMATS = {"JPEG", "PNG"}  # what the training decoder reads


@dataclass(frozen=True)
class CheckedImage:
    """An image as it goes into the store: encoded bytes, size in pixels, 64-bit perceptual hash."""

    encoded: bytes
    width_px: int
    height_px: int
    perceptual_hash: int


class ImageRefused(ValueError):
    """The image can't be used; the message says why."""


def check_image(raw: bytes, settings: IngestParams) -> CheckedImage:
    """Check one image and bring it into the form that the store holds.

    Official bytes are kept where the image is an upright RGB JPEG or PNG that is small enough; EXIF and
    other segments are cut out of a JPEG without touching its pixels. Everything else is re-encoded:
    lossless as PNG where the raw format is lossless and no resizing is needed, else as JPEG.

    Raises:
        ImageRefused: If the bytes are no whole, single, 8-bit picture within the size limit.
    """
    if not raw:
        raise ImageRefused("the file is empty")
    picture, source_format = _open(raw, settings)
    plain = picture.mode == "RGB" and picture.getexif().get(0x0112, 1) == 1
    rgb = _upright_rgb(picture)
    oversize = max(rgb.size) > settings.max_side_px
    if oversize:
        rgb.thumbnail((settings.max_side_px, settings.max_side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if plain and not oversize and source_format in _KEPT_FORMATS:
        encoded = without_metadata(raw) if source_format == "JPEG" else _encode(rgb, "PNG", settings)
        if source_format == "PNG" and not picture.info.keys() & {"exif", "icc_profile", "Comment"}:
            encoded = raw
    else:
        lossless = source_format != "JPEG" and not oversize
        encoded = _encode(rgb, "PNG" if lossless else "JPEG", settings)
    _decodes(encoded)
    return CheckedImage(encoded, rgb.width, rgb.height, int(str(imagehash.phash(rgb)), 16))


def without_metadata(jpeg: bytes) -> bytes:
    """Cut EXIF, XMP, ICC and comment segments out of a JPEG; pixels stay as they are.

    Only the segments before the scan are read (ITU-T T.81, B.2): APP1 to APP13, APP15 and COM go.
    """
    kept, position = [jpeg[:2]], 2
    while position + 4 <= len(jpeg) and jpeg[position] == 0xFF and jpeg[position + 1] != 0xDA:
        marker, length = jpeg[position + 1], int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            kept.append(jpeg[position : position + 2 + length])
        position += 2 + length
    return b"".join([*kept, jpeg[position:]])


def _open(raw: bytes, settings: IngestParams) -> tuple[Image.Image, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(raw))
            megapixels = picture.width * picture.height / 1e6
            if megapixels > settings.max_megapixels:
                raise ImageRefused(
                    f"{picture.width} x {picture.height} pixels: more than the {settings.max_megapixels:g} "
                    "megapixels that ingest.max_megapixels allows"
                )
            if getattr(picture, "n_frames", 1) > 1:
                raise ImageRefused(f"an animation of {picture.n_frames} frames, not one picture")
            if picture.mode.startswith(("I", "F")):
                raise ImageRefused(f"16-bit or floating-point greyscale (mode {picture.mode}), not a photograph")
            picture.load()
    except ImageRefused:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRefused(f"too many pixels: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise ImageRefused("not an image, or in a format that Pillow doesn't read") from error
    except Exception as error:  # Pillow's decoders raise whatever their parser meets
        raise ImageRefused(f"damaged: {error}") from error
    return picture, str(picture.format)


def _upright_rgb(picture: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        if upright.getextrema()[3] != (255, 255):
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return upright.convert("RGB")


def _encode(rgb: Image.Image, file_format: str, settings: IngestParams) -> bytes:
    buffer = io.BytesIO()
    clean = Image.frombytes("RGB", rgb.size, rgb.tobytes())  # drops whatever the file carried along
    options = {"quality": settings.jpeg_quality, "subsampling": 0} if file_format == "JPEG" else {}
    clean.save(buffer, file_format, **options)
    return buffer.getvalue()


def _decodes(encoded: bytes) -> None:
    """The training decoder must read what goes into the store."""
    try:
        decode_image(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), ImageReadMode.RGB)
    except RuntimeError as error:
        raise ImageRefused(f"damaged: {str(error).splitlines()[0]}") from error
