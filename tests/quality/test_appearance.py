"""What pixels tell."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from slimp_pipeline.quality.appearance import MEASURES, appearance, measure_pictures


def test_two_shades_are_measured_by_hand():
    # Left half 0, right half 200: one bit; one step of 200 in each of 4 rows.
    grey_HW = np.repeat([[0, 0, 0, 200, 200, 200]], 4, axis=0).astype(np.uint8)
    darkest, brightest, entropy_bits, sharpness = appearance(grey_HW)
    assert (darkest, brightest, entropy_bits) == (0, 200, 1)
    assert sharpness == pytest.approx(0)  # a mean spreads a single step, and takes nothing away


def test_a_chequered_picture_loses_nearly_all_to_a_mean():
    grey_HW = (np.indices((30, 30)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert appearance(grey_HW)[3] == pytest.approx(8 / 9, abs=0.02)  # the means are 4/9 and 5/9 of 255


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_picture_of_one_shade_has_no_information_and_no_sharpness(shade):
    assert appearance(np.full((5, 7), shade, dtype=np.uint8)) == (shade, shade, 0, 0)


def test_a_single_pixel_is_measured():
    assert appearance(np.array([[9]], dtype=np.uint8)) == (9, 9, 0, 0)


def test_sharpness_falls_with_every_blur(make_skin):
    picture = Image.fromarray(make_skin(0)).convert("L")
    blurred = [np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 0.5, 1, 2)]
    sharpness = [appearance(grey_HW)[3] for grey_HW in blurred]
    assert sharpness == sorted(sharpness, reverse=True) and sharpness[0] > 2 * sharpness[-1]


class Store:
    """Pictures by row, of 10 + row x 20 pixels and shade 10 times the row."""

    def encoded(self, index):
        buffer = io.BytesIO()
        Image.new("RGB", (10 + index, 20), (10 * index,) * 3).save(buffer, "PNG")
        return buffer.getvalue()

    def table(self):
        return pd.DataFrame({"width_px": range(10, 20), "height_px": 20})


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_pictures_are_measured_in_the_order_of_rows_whatever_the_batch(batch_size):
    rows = pd.DataFrame(
        {"image_id": ["a", "b", "c"], "store_index": pd.array([7, 2, 5], dtype="Int64")}, index=[9, 4, 2]
    )
    measured = measure_pictures(Store(), rows, batch_size, num_workers=0)
    assert list(measured) == ["image_id", "width_px", "height_px", *MEASURES]
    assert measured["image_id"].tolist() == ["a", "b", "c"]
    assert measured["width_px"].tolist() == [17, 12, 15]
    assert measured["darkest_shade"].tolist() == measured["brightest_shade"].tolist() == [70, 20, 50]
