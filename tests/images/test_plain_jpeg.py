"""JPEGs that are decoded once: what they are told by, and that Pillow would have judged them alike."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from slimp_pipeline.images import check
from slimp_pipeline.images.check import CheckedImage, ImageRefused, check_image
from slimp_pipeline.images.plain_jpeg import plain_jpeg
from slimp_pipeline.parameters import IngestParams

MakePicture = Callable[..., Image.Image]
ToBytes = Callable[..., bytes]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 1}, {"dpi": (300, 300)}])
def test_a_jpeg_without_metadata_is_plain_and_ends_with_its_picture(
    make_picture: MakePicture, to_bytes: ToBytes, subsampling: int, options: dict[str, Any]
) -> None:
    raw = to_bytes(make_picture(), "JPEG", subsampling=subsampling, **options)
    assert plain_jpeg(raw + b"what follows") == (raw, 32, 24)


OTHERS: dict[str, dict[str, Any]] = {
    "turned": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"},
    "with a comment": {"comment": "patient 7"},
    "with XMP": {"xmp": b"<x:xmpmeta/>"},
    "with a colour profile": {"icc_profile": b"profile"},
    "progressive, which may take any time": {"progressive": True},
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_jpeg_that_needs_more_than_decoding_is_not_plain(
    make_picture: MakePicture, to_bytes: ToBytes, case: str
) -> None:
    assert plain_jpeg(to_bytes(make_picture(), "JPEG", **OTHERS[case])) is None


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_of_other_components_is_not_plain(make_picture: MakePicture, to_bytes: ToBytes, mode: str) -> None:
    assert plain_jpeg(to_bytes(make_picture().convert(mode), "JPEG")) is None


def test_other_bytes_and_every_beginning_of_a_jpeg_are_not_plain(make_picture: MakePicture, to_bytes: ToBytes) -> None:
    raw = to_bytes(make_picture(), "JPEG")
    assert not any(plain_jpeg(raw[:end]) for end in range(len(raw)))
    assert plain_jpeg(to_bytes(make_picture(), "PNG")) is None


def second_scan(raw: bytes) -> bytes:
    return raw[:-2] + raw[raw.index(b"\xff\xda") :]


def second_frame(raw: bytes) -> bytes:
    start = raw.index(b"\xff\xc0")
    return raw[:start] + raw[start : start + 19] + raw[start:]


def odd_sampling(raw: bytes) -> bytes:
    start = raw.index(b"\xff\xc0")
    return raw[: start + 11] + b"\x31" + raw[start + 12 :]


def size_of_a_preview(raw: bytes) -> bytes:
    return raw[:18] + b"\1" + raw[19:]


@pytest.mark.parametrize("change", [second_scan, second_frame, odd_sampling, size_of_a_preview])
def test_what_decoders_may_disagree_on_is_not_plain(
    make_picture: MakePicture, to_bytes: ToBytes, change: Callable[[bytes], bytes]
) -> None:
    assert plain_jpeg(change(to_bytes(make_picture(), "JPEG"))) is None


def checked(raw: bytes, ingest: IngestParams) -> CheckedImage | None:
    try:
        return check_image(raw, ingest)
    except ImageRefused:
        return None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_jpeg_is_kept_or_refused_as_pillow_would(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, data: st.DataObject
) -> None:
    raw = bytearray(to_bytes(make_picture(), "JPEG"))
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    at_once = checked(bytes(raw), ingest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "plain_jpeg", lambda raw: None)
        by_pillow = checked(bytes(raw), ingest)
    assert (at_once is None) == (by_pillow is None)
    if at_once and by_pillow:
        assert (at_once.encoded, at_once.width_px, at_once.height_px) == (
            by_pillow.encoded, by_pillow.width_px, by_pillow.height_px,
        )  # fmt: skip


@pytest.mark.parametrize("limit", [{"max_side_px": 31}, {"max_megapixels": 0.0007}, {"max_file_mb": 1e-4}])
def test_limits_hold_for_plain_jpegs(
    ingest: IngestParams, make_picture: MakePicture, to_bytes: ToBytes, limit: dict[str, float]
) -> None:
    raw, settings_ = to_bytes(make_picture(), "JPEG"), ingest.model_copy(update=limit)
    image = checked(raw, settings_)
    assert (
        (image is not None and max(image.width_px, image.height_px) == 31) if "max_side_px" in limit else image is None
    )
