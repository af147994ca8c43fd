"""Encoded bytes become squares on a common canvas."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slimp_pipeline.images import decode
from slimp_pipeline.images.decode import DecodedImages, decoded_batches, fit_canvas, keep_freed_memory
from slimp_pipeline.images.store import SCHEMA, ImageStore

ToBytes = Callable[..., bytes]


def numbered(height: int, width: int) -> np.ndarray:
    """Pixels that name their place: red the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 77)], axis=-1).astype(np.uint8)


def test_a_smaller_image_keeps_its_pixels_in_the_corner_of_the_canvas(to_bytes: ToBytes) -> None:
    pixels = numbered(10, 10)
    encoded = [to_bytes(Image.fromarray(image), "PNG") for image in (pixels, numbered(15, 15))]
    canvas, side = fit_canvas(encoded, image_size=16)
    assert canvas.shape == (2, 3, 15, 15)  # no wider than the largest image
    assert (canvas.dtype, side.dtype, side.tolist()) == (torch.uint8, torch.int64, [10, 15])
    assert np.array_equal(canvas[0, :, :10, :10].permute(1, 2, 0), pixels)
    assert canvas[0, :, 10:].sum() == canvas[0, :, :, 10:].sum() == 0


@pytest.mark.parametrize(("height", "width", "top", "left"), [(10, 16, 0, 3), (16, 10, 3, 0), (10, 10, 0, 0)])
def test_the_longer_side_is_cropped_to_the_centre(
    to_bytes: ToBytes, height: int, width: int, top: int, left: int
) -> None:
    canvas, side = fit_canvas([to_bytes(Image.fromarray(numbered(height, width)), "PNG")], image_size=16)
    assert side.tolist() == [10]
    wanted = numbered(height, width)[top : top + 10, left : left + 10]
    assert np.array_equal(canvas[0, :, :10, :10].permute(1, 2, 0), wanted)


def test_a_larger_image_is_downscaled_to_the_canvas_with_antialiasing(to_bytes: ToBytes) -> None:
    stripes = np.zeros((80, 100, 3), np.uint8)
    stripes[:, ::2] = 200  # finer than the canvas can show: they must become their mean
    canvas, side = fit_canvas([to_bytes(Image.fromarray(stripes), "PNG")], image_size=16)
    assert side.tolist() == [20]
    assert canvas.shape == (1, 3, 20, 20)
    assert torch.all((canvas[0, :, :, 1:-1].int() - 100).abs() <= 4)


def test_images_of_all_sizes_share_one_canvas_in_order(to_bytes: ToBytes) -> None:
    encoded = [to_bytes(Image.new("RGB", (side, side), (side, 0, 0)), "PNG") for side in (1, 20, 7, 50)]
    canvas, side = fit_canvas(encoded, image_size=16)
    assert side.tolist() == [1, 20, 7, 20]
    assert canvas[:, 0, 0, 0].tolist() == [1, 20, 7, 50]


def test_a_greyscale_jpeg_fills_three_channels(to_bytes: ToBytes) -> None:
    canvas, _ = fit_canvas([to_bytes(Image.new("L", (4, 4), 90), "JPEG")], image_size=16)
    assert torch.equal(canvas[0, :, :4, :4], torch.full((3, 4, 4), 90, dtype=torch.uint8))


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=3),
    image_size=st.integers(16, 40),
)
def test_no_pixel_outside_an_image_is_set_and_none_within_is_lost(
    sizes: list[tuple[int, int]], image_size: int
) -> None:
    encoded = []
    for size in sizes:
        buffer = io.BytesIO()
        Image.new("RGB", size, (200, 200, 200)).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    canvas, sides = fit_canvas(encoded, image_size)
    assert sides.tolist() == [min(*size, round(1.25 * image_size)) for size in sizes]
    assert canvas.shape == (len(sizes), 3, int(sides.max()), int(sides.max()))
    for image, side in zip(canvas, sides.tolist(), strict=True):
        assert torch.all(image[:, :side, :side] == 200)
        assert int((image == 200).sum()) == 3 * side * side


def test_store_rows_are_decoded_by_index_in_the_order_asked(to_bytes: ToBytes, tmp_path: Path) -> None:
    rows = [{"image_id": str(i), "encoded": to_bytes(Image.new("RGB", (5, 5), (i, 0, 0)), "PNG")} for i in range(4)]
    with pa.ipc.new_file(str(tmp_path / "s.arrow"), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows[:3], SCHEMA))
        writer.write_batch(pa.RecordBatch.from_pylist(rows[3:], SCHEMA))
    images = DecodedImages(ImageStore(tmp_path / "s.arrow"), image_size=16)
    canvas, side = images.__getitems__([3, 0, 3])
    assert canvas[:, 0, 0, 0].tolist() == [3, 0, 3]
    assert side.tolist() == [5, 5, 5]
    one, _ = images[2]
    assert one[0, 0, 0, 0] == 2


def test_keeping_freed_memory_changes_no_result() -> None:
    keep_freed_memory()
    assert torch.ones(1000, 1000).sum() == 1e6


def test_a_batch_that_a_worker_cannot_hand_over_ends_the_reading_instead_of_stopping_it_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode.DecodedImages, "__getitems__", lambda *_: lambda: "no process can hand this over")
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid.* exited unexpectedly"):
        list(decoded_batches(None, 16, [[0]], num_workers=1))  # type: ignore[arg-type]
