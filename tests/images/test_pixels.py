import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from slimp_pipeline.images.pixels import pixels

MakePicture = Callable[..., Image.Image]
ToBytes = Callable[..., bytes]


def by_torchvision(encoded: bytes, mode: ImageReadMode = ImageReadMode.RGB) -> torch.Tensor:
    return decode_image(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), mode)


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}])
@pytest.mark.parametrize("grey", [False, True])
def test_both_decoders_give_the_same_pixels_of_a_jpeg(
    make_picture: MakePicture, to_bytes: ToBytes, options: dict[str, int], grey: bool
) -> None:
    encoded = to_bytes(make_picture(43, 61), "JPEG", quality=85, **options)
    expected = by_torchvision(encoded, ImageReadMode.GRAY if grey else ImageReadMode.RGB)
    assert expected.shape == (1 if grey else 3, 43, 61)
    assert torch.equal(pixels(encoded, grey=grey), expected)


@pytest.mark.parametrize(("mode", "file_format"), [("L", "JPEG"), ("RGB", "PNG"), ("L", "PNG"), ("P", "PNG")])
def test_pictures_of_other_kinds_are_read_as_rgb(make_picture: MakePicture, mode: str, file_format: str) -> None:
    buffer = io.BytesIO()
    make_picture(20, 30).convert(mode).save(buffer, file_format)
    image_3HW = pixels(buffer.getvalue())
    assert torch.equal(image_3HW, by_torchvision(buffer.getvalue()))
    assert (image_3HW.shape, image_3HW.dtype) == ((3, 20, 30), torch.uint8)


def test_a_png_keeps_its_pixels(make_picture: MakePicture, to_bytes: ToBytes) -> None:
    picture = make_picture(20, 30)
    assert np.array_equal(pixels(to_bytes(picture, "PNG")).permute(1, 2, 0).numpy(), np.asarray(picture))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_truncated_picture_is_an_error(make_picture: MakePicture, to_bytes: ToBytes, file_format: str) -> None:
    encoded = to_bytes(make_picture(60, 60), file_format)
    with pytest.raises(RuntimeError):
        pixels(encoded[: len(encoded) // 2])


def test_a_damaged_png_is_an_error_and_does_not_end_the_process(make_picture: MakePicture, to_bytes: ToBytes) -> None:
    """torchvision 0.29's decoder does that at every error that libpng finds."""
    encoded = bytearray(to_bytes(make_picture(12, 9), "PNG"))
    encoded[encoded.index(b"IDAT") + 40] ^= 1
    with pytest.raises(RuntimeError, match="no whole picture can be decoded"):
        pixels(bytes(encoded))


@pytest.mark.parametrize("kind", [bytes, memoryview, lambda encoded: memoryview(encoded).cast("b")])
def test_a_jpeg_of_the_store_takes_the_fast_decoder(
    make_picture: MakePicture, to_bytes: ToBytes, monkeypatch: pytest.MonkeyPatch, kind: Callable[[bytes], memoryview]
) -> None:
    monkeypatch.delattr("slimp_pipeline.images.pixels.decode_jpeg")
    assert pixels(kind(to_bytes(make_picture(20, 30), "JPEG"))).shape == (3, 20, 30)


def test_memory_that_can_only_be_read_is_read_as_it_is(
    make_picture: MakePicture, to_bytes: ToBytes, recwarn: pytest.WarningsRecorder
) -> None:
    for file_format in ("JPEG", "PNG"):
        encoded = to_bytes(make_picture(), file_format)
        assert torch.equal(pixels(memoryview(encoded)), pixels(encoded))
    assert not [warning for warning in recwarn if not issubclass(warning.category, DeprecationWarning)]


def test_a_picture_of_one_pixel_is_one_pixel() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), (10, 20, 30)).save(buffer, "PNG")
    assert pixels(buffer.getvalue()).flatten().tolist() == [10, 20, 30]


def test_a_jpeg_for_print_is_read_as_pillow_reads_it_but_for_rounding(make_picture: MakePicture) -> None:
    buffer = io.BytesIO()
    make_picture(20, 30).convert("CMYK").save(buffer, "JPEG")
    expected = np.asarray(Image.open(buffer).convert("RGB")).astype(int)
    assert np.abs(pixels(buffer.getvalue()).permute(1, 2, 0).numpy() - expected).max() <= 1
