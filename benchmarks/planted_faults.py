"""Faults planted into real pictures, so that the truth is known: copies of seven kinds, strangers, broken pictures."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def cropped(picture: Image.Image, share: float) -> Image.Image:
    """The middle, `share` of each side."""
    width, height = (round(side * share) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def smaller(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width * 7 // 10, picture.height * 7 // 10), Image.Resampling.LANCZOS)


def turned(picture: Image.Image) -> Image.Image:
    return picture.rotate(12, Image.Resampling.BICUBIC, fillcolor=picture.getpixel((2, 2)))


# How a picture comes to be in a cohort twice; the copy is saved as a JPEG.
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded again, smaller": smaller,
    "cropped to 85 %": lambda picture: cropped(picture, 0.85),
    "cropped to 70 %": lambda picture: cropped(picture, 0.7),
    "mirrored": ImageOps.mirror,
    "by a quarter turned": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "by 12 degrees turned": turned,
    "brighter by 30 %": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "darker by 30 %, less contrast": lambda picture: ImageEnhance.Contrast(
        ImageEnhance.Brightness(picture).enhance(0.7)
    ).enhance(0.7),
}


def text_page(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Lines of print on white paper."""
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for y in range(8, size[1] - 8, 12):
        words = " ".join("".join(rng.choice(list("abcdefghinorstu"), rng.integers(2, 9))) for _ in range(12))
        pen.text((8, y), words, fill=(20, 20, 20))
    return page


def noise(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def ruler(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A ruler on a table, and nothing else."""
    picture = Image.new("RGB", size, tuple(int(shade) for shade in rng.integers(60, 200, 3)))
    pen = ImageDraw.Draw(picture)
    top = int(rng.integers(0, size[1] // 2))
    pen.rectangle((0, top, size[0], top + size[1] // 4), fill=(235, 225, 120))
    for number, x in enumerate(range(0, size[0], 6)):
        pen.line((x, top, x, top + (size[1] // 8 if number % 5 == 0 else size[1] // 16)), fill="black")
    return picture


def blank(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One shade, with the grain of a sensor."""
    shade = int(rng.choice([2, 128, 252]))
    grain = rng.normal(shade, 1, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.repeat(grain, 3, axis=2), 0, 255).astype(np.uint8))


STRANGERS = {"a page of text": text_page, "noise": noise, "a ruler on a table": ruler, "blank": blank}
BROKEN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(0.012 * max(picture.size))),
    "far too dark": lambda picture: ImageEnhance.Brightness(picture).enhance(0.12),
    "far too bright": lambda picture: Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.85),
}
