"""What raw images become before they are stored, and which are refused."""

import contextlib
import io
import os
import struct
import subprocess
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from torchvision.io import ImageReadMode, decode_image

from slimp_pipeline.images import check
from slimp_pipeline.images.check import ImageRefused, check_image
from slimp_pipeline.images.metadata import jpeg_without_metadata, png_without_metadata
from slimp_pipeline.images.pixels import pixels
from slimp_pipeline.parameters import IngestParams

MakePicture = Callable[..., Image.Image]
ToBytes = Callable[..., bytes]
ToPixels = Callable[[bytes], np.ndarray]


def exif(orientation: int = 1) -> Image.Exif:
    data = Image.Exif()
    data[ExifTags.Base.Orientation] = orientation
    data[ExifTags.Base.Artist] = "Dr. Name"
    data.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 5.0)})
    return data


def stored(encoded: bytes) -> np.ndarray:
    """Pixels as the training decoder reads them; it must give 8 bits."""
    image_3HW = decode_image(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), ImageReadMode.RGB)
    assert image_3HW.dtype == torch.uint8
    return image_3HW.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_small_upright_picture_keeps_its_official_bytes(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, file_format: str
) -> None:
    raw = to_bytes(make_picture(), file_format)
    checked = check_image(raw, ingest)
    assert checked.encoded == raw
    assert (checked.width_px, checked.height_px) == (32, 24)
    assert 0 <= checked.perceptual_hash < 2**64


@pytest.mark.parametrize("progressive", [False, True])
def test_exif_with_gps_is_cut_out_of_a_jpeg_and_its_pixels_stay_exactly(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, to_pixels: ToPixels, progressive: bool
) -> None:
    plain = to_bytes(make_picture(), "JPEG", progressive=progressive)
    raw = to_bytes(
        make_picture(), "JPEG", progressive=progressive, exif=exif(), comment="patient 7", xmp=b"<x:xmpmeta/>"
    )
    encoded = check_image(raw, ingest).encoded
    assert encoded == plain
    assert np.array_equal(to_pixels(encoded), to_pixels(raw))
    assert not Image.open(io.BytesIO(encoded)).getexif()
    assert not any(secret in encoded for secret in (b"Exif", b"Dr. Name", b"patient 7", b"xmpmeta"))


def test_whatever_follows_the_end_of_a_jpeg_is_cut_off(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes
) -> None:
    plain = to_bytes(make_picture(), "JPEG")
    hidden = to_bytes(make_picture(seed=1), "JPEG", exif=exif())
    assert check_image(plain + hidden, ingest).encoded == plain


def test_a_comment_between_scans_and_fill_bytes_before_a_marker_do_not_hide_metadata(
    make_picture: MakePicture, to_bytes: ToBytes, to_pixels: ToPixels
) -> None:
    plain = to_bytes(make_picture(), "JPEG", progressive=True)
    comment = b"\xff\xff\xfe" + struct.pack(">H", 2 + 9) + b"patient 7"
    last_scan = plain.rindex(b"\xff\xda")
    raw = plain[:2] + comment + plain[2:last_scan] + comment + plain[last_scan:]
    cleaned = jpeg_without_metadata(raw)
    assert cleaned is not None and b"patient 7" not in cleaned
    assert np.array_equal(to_pixels(cleaned), to_pixels(plain))


HIDDEN = b"Exif\0\0patient seven"


def in_a_huffman_table(raw: bytes) -> bytes:
    """In place of values that a small picture doesn't use."""
    end = raw.index(b"\xff\xda")
    return raw[: end - len(HIDDEN)] + HIDDEN + raw[end:]


def behind(marker: bytes) -> Callable[[bytes], bytes]:
    """In a segment, behind what belongs there."""

    def hide(raw: bytes) -> bytes:
        start = raw.index(marker)
        length = int.from_bytes(raw[start + 2 : start + 4], "big")
        end = start + 2 + length
        return raw[: start + 2] + struct.pack(">H", length + len(HIDDEN)) + raw[start + 4 : end] + HIDDEN + raw[end:]

    return hide


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    "hide",
    [in_a_huffman_table, *(behind(marker) for marker in (b"\xff\xdb", b"\xff\xc4", b"\xff\xda"))],
    ids=["Huffman values", "quantisation", "Huffman", "scan"],
)
def test_what_hides_in_a_table_or_header_is_not_kept(
    ingest: IngestParams, to_bytes: ToBytes, hide: Callable[[bytes], bytes], progressive: bool
) -> None:
    raw = to_bytes(Image.new("RGB", (16, 16), (90, 60, 50)), "JPEG", progressive=progressive)
    hidden = hide(raw)
    assert HIDDEN in hidden
    with contextlib.suppress(ImageRefused):  # some of these Pillow can't read
        checked = check_image(hidden, ingest)
        assert HIDDEN[:8] not in checked.encoded and b"seven" not in checked.encoded
        assert (checked.width_px, checked.height_px) == (16, 16)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(png: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    """Each chunk as `change` makes it of its kind and content."""
    parts, position = [png[:8]], 8
    while position < len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        parts.append(change(png[position + 4 : position + 8], png[position + 8 : position + 8 + length]))
        position += 12 + length
    return b"".join(parts)


def behind_the_rows(kind: bytes, content: bytes) -> bytes:
    return chunk(kind, content + HIDDEN if kind == b"IDAT" else content)


def in_more_rows(kind: bytes, content: bytes) -> bytes:
    return chunk(kind, zlib.compress(zlib.decompress(content) + HIDDEN, 0) if kind == b"IDAT" else content)


def in_a_palette(kind: bytes, content: bytes) -> bytes:
    palette = chunk(b"PLTE", (HIDDEN + b"..")[: len(HIDDEN) // 3 * 3]) if kind == b"IHDR" else b""
    return chunk(kind, content) + palette


def in_a_chunk_of_no_standard(kind: bytes, content: bytes) -> bytes:
    return chunk(kind, content) + (chunk(b"NAME", HIDDEN) if kind == b"IHDR" else b"")


@pytest.mark.parametrize(
    "hide", [behind_the_rows, in_more_rows, in_a_palette, in_a_chunk_of_no_standard], ids=lambda hide: hide.__name__
)
def test_what_hides_among_the_rows_of_a_png_is_not_kept(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, hide: Callable[[bytes, bytes], bytes]
) -> None:
    raw = to_bytes(make_picture(), "PNG")
    hidden = with_chunks(raw, hide)
    assert HIDDEN[:12] in hidden
    with contextlib.suppress(ImageRefused):
        checked = check_image(hidden, ingest)
        assert HIDDEN[:8] not in checked.encoded and b"seven" not in checked.encoded
        assert np.array_equal(stored(checked.encoded), stored(raw))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_a_png_that_holds_its_picture_alone_keeps_its_bytes(
    make_picture: MakePicture, to_bytes: ToBytes, mode: str
) -> None:
    raw = to_bytes(make_picture().convert(mode), "PNG")
    assert png_without_metadata(raw) == raw


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_turned_by_exif_is_stored_upright(
    ingest: IngestParams,
    make_picture: MakePicture,
    to_bytes: ToBytes,
    to_pixels: ToPixels,
    file_format: str,
    orientation: int,
) -> None:
    turns = {
        **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM},
        **{5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE},
        **{8: Image.Transpose.ROTATE_270},
    }
    lying = make_picture().transpose(turns[orientation])
    options = {"quality": 98, "subsampling": 0} if file_format == "JPEG" else {}
    checked = check_image(to_bytes(lying, file_format, exif=exif(orientation), **options), ingest)
    assert (checked.width_px, checked.height_px) == (32, 24)
    assert not Image.open(io.BytesIO(checked.encoded)).getexif()
    difference = to_pixels(checked.encoded).astype(int) - np.asarray(make_picture())
    assert np.abs(difference).mean() < (3 if file_format == "JPEG" else 1e-9)


def test_text_and_exif_are_cut_out_of_a_png_and_its_pixels_stay_exactly(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, to_pixels: ToPixels
) -> None:
    notes = PngInfo()
    notes.add_text("Title", "patient 7")
    notes.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    raw = to_bytes(make_picture(), "PNG", pnginfo=notes, exif=exif(), icc_profile=b"profile") + b"patient 8"
    encoded = check_image(raw, ingest).encoded
    assert encoded == to_bytes(make_picture(), "PNG") == png_without_metadata(raw)
    assert np.array_equal(to_pixels(encoded), np.asarray(make_picture()))


def test_a_colour_png_of_16_bits_is_stored_with_8(
    ingest: IngestParams, make_png: Callable[..., bytes], to_pixels: ToPixels
) -> None:
    rows = b"".join(b"\0" + np.full((4, 3), 0x80FF, dtype=">u2").tobytes() for _ in range(4))
    encoded = check_image(make_png(4, 4, 16, 2, rows), ingest).encoded
    assert np.array_equal(stored(encoded), np.full((4, 4, 3), 0x80))


def test_a_greyscale_png_of_16_bits_is_refused(ingest: IngestParams, to_bytes: ToBytes) -> None:
    raw = to_bytes(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000), "PNG")
    with pytest.raises(ImageRefused, match=r"16-bit or floating-point greyscale"):
        check_image(raw, ingest)


def test_a_floating_point_tiff_is_refused(ingest: IngestParams, to_bytes: ToBytes) -> None:
    with pytest.raises(ImageRefused, match=r"floating-point"):
        check_image(to_bytes(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), ingest)


def test_a_colour_that_a_png_declares_transparent_becomes_white(
    ingest: IngestParams, make_png: Callable[..., bytes], make_png_chunk: Callable[[bytes, bytes], bytes]
) -> None:
    rows = b"\0" + bytes([9, 9, 9, 200, 100, 50])
    raw = make_png(2, 1, 8, 2, rows, make_png_chunk(b"tRNS", struct.pack(">HHH", 9, 9, 9)))
    assert stored(check_image(raw, ingest).encoded).tolist() == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_a_lossless_picture_is_stored_without_loss(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, file_format: str
) -> None:
    picture = make_picture().quantize(200).convert("RGB")
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    checked = check_image(to_bytes(picture, file_format, **options), ingest)
    assert checked.encoded.startswith(b"\x89PNG")
    assert np.array_equal(stored(checked.encoded), np.asarray(picture))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_modes_become_rgb_with_the_same_look(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, mode: str
) -> None:
    picture = make_picture().convert(mode)
    encoded = check_image(to_bytes(picture, "PNG"), ingest).encoded
    assert np.array_equal(stored(encoded), np.asarray(picture.convert("RGB")))


def test_transparent_pixels_become_white_and_half_transparent_ones_lighter(
    ingest: IngestParams, to_bytes: ToBytes
) -> None:
    pixels = np.array([[[100, 0, 0, 255], [100, 0, 0, 0], [100, 0, 0, 51]]], np.uint8)
    stored_pixels = stored(check_image(to_bytes(Image.fromarray(pixels), "PNG"), ingest).encoded)
    assert stored_pixels[0, :2].tolist() == [[100, 0, 0], [255, 255, 255]]
    assert np.allclose(stored_pixels[0, 2], [224, 204, 204], atol=1)  # 0.2 * 100 + 0.8 * 255


def test_a_palette_png_with_a_transparent_entry_is_laid_on_white(ingest: IngestParams, to_bytes: ToBytes) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1])
    opaque = check_image(to_bytes(picture, "PNG"), ingest).encoded
    transparent = check_image(to_bytes(picture, "PNG", transparency=0), ingest).encoded
    assert stored(opaque).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert stored(transparent).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_a_cmyk_jpeg_becomes_an_rgb_jpeg_that_looks_the_same(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes
) -> None:
    encoded = check_image(to_bytes(make_picture().convert("CMYK"), "JPEG", quality=98), ingest).encoded
    assert Image.open(io.BytesIO(encoded)).mode == "RGB"
    assert np.abs(stored(encoded).astype(int) - np.asarray(make_picture())).mean() < 4


def test_a_greyscale_jpeg_becomes_rgb(ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes) -> None:
    grey = make_picture().convert("L")
    pixels = stored(check_image(to_bytes(grey, "JPEG", quality=98), ingest).encoded).astype(int)
    assert np.abs(pixels - np.asarray(grey)[..., None]).mean() < 2
    assert np.ptp(pixels, axis=2).max() <= 2


def test_a_phones_picture_with_an_appended_map_is_the_picture(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, to_pixels: ToPixels
) -> None:
    appended = make_picture(seed=1).resize((8, 6))
    raw = to_bytes(make_picture(), "MPO", save_all=True, append_images=[appended], exif=exif())
    assert Image.open(io.BytesIO(raw)).format == "MPO"
    encoded = check_image(raw, ingest).encoded
    assert Image.open(io.BytesIO(encoded)).format == "JPEG"
    assert np.array_equal(to_pixels(encoded), to_pixels(raw))
    assert b"Exif" not in encoded
    assert len(encoded) < len(raw)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_an_oversize_picture_is_resized_once_with_its_aspect_kept(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, file_format: str
) -> None:
    checked = check_image(to_bytes(make_picture(100, 200), file_format), ingest)
    assert (checked.width_px, checked.height_px) == (64, 32)
    assert Image.open(io.BytesIO(checked.encoded)).format == "JPEG"
    wanted = np.asarray(make_picture(100, 200).resize((64, 32), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(stored(checked.encoded) - wanted).mean() < 4


def test_a_picture_of_just_the_allowed_side_is_not_resized(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes
) -> None:
    raw = to_bytes(make_picture(64, 64), "JPEG")
    assert check_image(raw, ingest).encoded == raw


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5), (2000, 1)])
def test_the_narrowest_pictures_pass(ingest: IngestParams, to_bytes: ToBytes, width: int, height: int) -> None:
    checked = check_image(to_bytes(Image.new("RGB", (width, height), (9, 8, 7)), "PNG"), ingest)
    assert (checked.width_px, checked.height_px) == (min(width, 64), height)
    assert stored(checked.encoded).shape == (height, min(width, 64), 3)


def test_an_empty_file_is_refused(ingest: IngestParams) -> None:
    with pytest.raises(ImageRefused, match=r"the file is empty"):
        check_image(b"", ingest)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        *[(b"<html>not found</html>", "HTML page"), (b"\0" * 100, "zero bytes"), (b"text", "not a picture")],
        *[(b"\xff\xd8\xff", "damaged"), (b"\x89PNG\r\n\x1a\n", "damaged")],
    ],
)
def test_bytes_that_are_no_image_are_refused(ingest: IngestParams, raw: bytes, said: str) -> None:
    with pytest.raises(ImageRefused, match=said):
        check_image(raw, ingest)


OTHER_FORMATS = [
    "EPS",
    "PDF",
    "PPM",
    "TGA",
    "ICO",
    "JPEG2000",
    "PCX",
    "SGI",
    "DDS",
    "DIB",
    "QOI",
    "AVIF",
    "SPIDER",
    "IM",
]


@pytest.mark.parametrize("file_format", OTHER_FORMATS)
def test_other_formats_are_refused_even_those_that_pillow_reads(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, file_format: str
) -> None:
    picture = make_picture().convert("F") if file_format == "SPIDER" else make_picture()
    with pytest.raises(ImageRefused, match=r"not a picture in a format that is read \(JPEG, PNG, TIFF, BMP, WebP, GIF"):
        check_image(to_bytes(picture, file_format), ingest)


def test_ghostscript_is_never_started(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {started}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    raw = to_bytes(make_picture(), "EPS")
    with contextlib.suppress(Exception):
        Image.open(io.BytesIO(raw)).load()
    assert started.exists(), "Pillow by itself starts it"
    started.unlink()
    with pytest.raises(ImageRefused, match=r"it is EPS or PostScript. Convert it"):
        check_image(raw, ingest)
    assert not started.exists()


@pytest.mark.parametrize("raw_tags", [{254: 1}, {254: 1, 50706: b"\1\4\0\0"}])
def test_the_preview_of_a_cameras_raw_file_is_no_photograph(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, raw_tags: dict[int, Any]
) -> None:
    with pytest.raises(ImageRefused, match=r"a camera's raw file, of which only the preview .* Export it as JPEG"):
        check_image(to_bytes(make_picture(), "TIFF", tiffinfo=raw_tags), ingest)


def test_a_file_larger_than_allowed_is_refused(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes
) -> None:
    raw = to_bytes(make_picture(), "JPEG") + bytes(10_000)
    assert check_image(raw, ingest)
    with pytest.raises(ImageRefused, match=r"0.0 MB: more than the 0.01 MB that ingest.max_file_mb allows"):
        check_image(raw, ingest.model_copy(update={"max_file_mb": 0.01}))


def slow_jpeg(picture: Image.Image) -> bytes:
    """A small progressive JPEG whose last scan is repeated: each is decoded over the whole picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", progressive=True)
    raw = buffer.getvalue()
    scan = raw[raw.rindex(b"\xff\xda") : -2]
    return raw[:-2] + scan * (2_000_000 // len(scan)) + raw[-2:]


def test_a_picture_that_takes_long_is_refused_in_time(ingest: IngestParams) -> None:
    raw, started = slow_jpeg(Image.new("RGB", (400, 400))), time.monotonic()
    with pytest.raises(ImageRefused, match=r"takes longer than the 0.1 s that ingest.max_seconds_per_image allows"):
        check_image(raw, ingest.model_copy(update={"max_seconds_per_image": 0.1}))
    assert time.monotonic() - started < 10


def test_a_picture_that_takes_too_much_memory_is_refused(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(check, "pixels", no_memory)
    with pytest.raises(ImageRefused, match=r"takes more memory than a picture may"):
        check_image(to_bytes(make_picture(), "PNG"), ingest)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"])
def test_a_truncated_file_is_refused(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, file_format: str
) -> None:
    raw = to_bytes(make_picture(60, 60), file_format)
    with pytest.raises(ImageRefused):
        check_image(raw[: len(raw) * 2 // 3], ingest)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_or_pages_are_refused(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, file_format: str
) -> None:
    raw = to_bytes(make_picture(), file_format, save_all=True, append_images=[make_picture(seed=1)])
    with pytest.raises(ImageRefused, match=r"several frames or pages, not one picture"):
        check_image(raw, ingest)


def many_frames_gif(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.quantize(4).save(buffer, "GIF")
    raw = buffer.getvalue()
    frame = raw[raw.index(b",") : -1]
    return raw[:-1] + frame * (20_000_000 // len(frame)) + b";"


def many_pages_tiff(picture: Image.Image) -> bytes:
    """The page, and a chain of three million empty directories."""
    num_pages = 3_000_000
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF")
    raw = bytearray(buffer.getvalue())
    raw += bytes(len(raw) % 2)
    first = int.from_bytes(raw[4:8], "little")
    last = first + 2 + 12 * int.from_bytes(raw[first : first + 2], "little")
    raw[last : last + 4] = len(raw).to_bytes(4, "little")
    pages = np.zeros(num_pages, [("num_tags", "<u2"), ("next", "<u4")])
    pages["next"][:-1] = len(raw) + 6 * np.arange(1, num_pages)
    return bytes(raw) + pages.tobytes()


@pytest.mark.parametrize("make_raw", [many_frames_gif, many_pages_tiff])
def test_frames_without_number_are_not_counted(
    ingest: IngestParams, make_picture: MakePicture, make_raw: Callable[[Image.Image], bytes]
) -> None:
    raw, started = make_raw(make_picture()), time.process_time()
    with pytest.raises(ImageRefused, match=r"several frames or pages, not one picture"):
        check_image(raw, ingest)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_small_file_that_declares_a_huge_picture_is_refused(
    ingest: IngestParams, make_png: Callable[..., bytes], width: int, height: int
) -> None:
    with pytest.raises(ImageRefused, match=r"megapixels|too many pixels"):
        check_image(make_png(width, height, 8, 2, b"\0"), ingest)


def text_bombs(chunk: Callable[[bytes, bytes], bytes]) -> dict[str, bytes]:
    packed = zlib.compress(bytes(50_000_000), 9)
    text = zlib.compress(bytes(1_000_000), 9)
    return {
        "zTXt": chunk(b"zTXt", b"a\0\0" + packed),
        "iTXt": chunk(b"iTXt", b"a\0\1\0\0\0" + packed),
        "iCCP": chunk(b"iCCP", b"a\0\0" + packed),
        "many zTXt": b"".join(chunk(b"zTXt", b"a%d\0\0" % i + text) for i in range(100)),
    }


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP", "many zTXt"])
def test_metadata_of_a_png_that_unpack_to_much_are_refused(
    ingest: IngestParams,
    make_png: Callable[..., bytes],
    make_png_chunk: Callable[[bytes, bytes], bytes],
    kind: str,
) -> None:
    raw = make_png(1, 1, 8, 2, bytes(4), text_bombs(make_png_chunk)[kind])
    assert len(raw) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(ImageRefused, match=r"damaged: .*too (large|much)|MAX_TEXT"):
            check_image(raw, ingest)
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """A TIFF of 8 x 8 grey pixels with further tags: number, type, count, value or offset; data stand at byte 72."""
    plain = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    plain |= {273: (4, 1, 8), 277: (3, 1, 1), 278: (3, 1, 8), 279: (4, 1, 64)}
    entries = sorted({**plain, **{tag: rest for tag, *rest in tags}}.items())
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", tag, *rest) for tag, rest in entries)
    return b"II*\0" + struct.pack("<L", 72 + len(data)) + bytes(64) + data + directory + bytes(4)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<LLLLllHHLLLLLL", 99, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif(canvas: int, frame: int) -> bytes:
    sides = struct.pack("<HH", canvas, canvas), struct.pack("<HHHHB", 0, 0, frame, frame, 0)
    return b"GIF89a" + sides[0] + bytes(3) + b"," + sides[1] + b"\2\0;"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31)), "megapixels|too many pixels"),
        (tiff((322, 4, 1, 2**15), (323, 4, 1, 2**15), (324, 4, 1, 8), (325, 4, 1, 64)), "32768 x 32768 pixels in a t"),
        (tiff((277, 3, 1, 65535)), "damaged"),
        (tiff((258, 3, 1, 65535)), "damaged"),
        (tiff((273, 4, 1, 2**32 - 1)), "damaged"),
        (tiff((273, 4, 2**31, 8)), "damaged"),
        (tiff((259, 3, 1, 65535)), "damaged|not a picture"),
        (bmp(2**31 - 1, 2**31 - 1), "too many"),
        (bmp(30_000, 100), "megapixels"),
        (bmp(900, 900), "damaged"),
        (gif(65535, 9), r"pixels: 4,295 megapixels, more than the [\d.]+ that ingest\.max_megapixels allows"),
        (gif(9, 65535), "too many pixels"),
        (gif(3000, 9), "megapixels"),
    ],
)  # fmt: skip
def test_absurd_declarations_are_refused_with_little_memory(ingest: IngestParams, raw: bytes, said: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageRefused, match=said):
            check_image(raw, ingest)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_tag_with_more_values_than_the_file_holds_is_left_aside(ingest: IngestParams) -> None:
    checked = check_image(tiff((282, 5, 2**28, 72), (306, 2, 2**30, 72)), ingest)
    assert (checked.width_px, checked.height_px) == (8, 8)


@pytest.fixture
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which all files of no stated place would appear; and no program can be started."""

    def started(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for starter in ("system", "posix_spawn", "fork", "execv"):
        monkeypatch.setattr(os, starter, started)
    monkeypatch.setattr(subprocess, "Popen", started)
    return tmp_path


def stored_or_refused(raw: bytes, ingest: IngestParams) -> None:
    try:
        checked = check_image(raw, ingest)
    except ImageRefused as refusal:
        assert str(refusal)
        return
    assert stored(checked.encoded).shape == (checked.height_px, checked.width_px, 3)


FUZZED = ["JPEG", "JPEG plain", "MPO", "PNG", "GIF", "TIFF", "TIFF packed", "WEBP", "BMP"]


def valid(make_picture: MakePicture, to_bytes: ToBytes, kind: str) -> bytes:
    file_format, _, how = kind.partition(" ")
    has_exif = file_format in ("JPEG", "PNG", "TIFF", "WEBP") and how != "plain"
    options: dict[str, Any] = {"exif": exif(6)} if has_exif else {}
    return to_bytes(make_picture(), file_format, **options, **({"compression": "tiff_lzw"} if how == "packed" else {}))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(FUZZED))
def test_damaged_bytes_are_refused_or_stored_whole_and_never_stop_the_run(
    ingest: IngestParams,
    make_picture: MakePicture,
    to_bytes: ToBytes,
    nowhere_else: Path,
    data: st.DataObject,
    kind: str,
) -> None:
    raw = bytearray(valid(make_picture, to_bytes, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1) | st.integers(0, min(99, len(raw) - 1)))
        raw[position] = data.draw(st.integers(0, 255))
    stored_or_refused(bytes(raw), ingest)
    assert list(nowhere_else.iterdir()) == []


@pytest.mark.parametrize("kind", FUZZED)
def test_a_file_cut_anywhere_is_refused_or_stored_whole(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, nowhere_else: Path, kind: str
) -> None:
    raw = valid(make_picture, to_bytes, kind)
    for end in range(0, len(raw), max(1, len(raw) // 200)):
        stored_or_refused(raw[:end], ingest)
    assert list(nowhere_else.iterdir()) == []


def test_the_same_look_has_nearly_the_same_perceptual_hash(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes
) -> None:
    original = check_image(to_bytes(make_picture(), "PNG"), ingest).perceptual_hash
    recoded = check_image(to_bytes(make_picture(), "JPEG", quality=80), ingest).perceptual_hash
    other = check_image(to_bytes(make_picture(seed=5), "PNG"), ingest).perceptual_hash
    assert (original ^ recoded).bit_count() <= 4
    assert (original ^ other).bit_count() >= 10


def test_of_a_jpeg_nothing_is_kept_but_what_its_pixels_need(make_picture, to_bytes):
    plain = to_bytes(make_picture(), "JPEG")
    secret = b"Name of a patient"

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content

    hidden = {
        "an application's segment of any number": segment(0xE0, b"JFXX\0" + secret) + segment(0xEE, secret),
        "a preview behind JFIF's density": segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\5" + secret),
        "bytes between segments": segment(0xE1, b"Exif\0\0") + secret,
        "the last of the applications' segments": segment(0xEF, secret),
    }
    for where, more in hidden.items():
        checked = check_image(plain[:2] + more + plain[2:], IngestParams())
        assert secret not in checked.encoded, where
        assert torch.equal(pixels(checked.encoded), pixels(plain)), where
