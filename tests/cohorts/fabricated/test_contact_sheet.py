"""Contact sheets."""

import pytest
from PIL import Image

from slimp_pipeline.cohorts.fabricated import contact_sheet


def test_a_sheet_has_room_for_every_picture() -> None:
    pictures = [Image.new("RGBA", (30, 20), "red")] * 5
    assert contact_sheet(pictures, columns=2, side_px=40).size == (2 * 44 + 4, 3 * 44 + 4)
    captioned = contact_sheet(pictures, columns=2, side_px=40, captions=["naevus"] * 5)
    assert captioned.height == 3 * 56 + 4


def test_pictures_keep_their_proportions() -> None:
    sheet = contact_sheet([Image.new("RGB", (40, 20), "red")], columns=1, side_px=40)
    assert sheet.getpixel((24, 24)) == (255, 0, 0)
    assert sheet.getpixel((24, 8)) == (255, 255, 255)


@pytest.mark.parametrize(("count", "columns", "captions"), [(0, 1, None), (1, 0, None), (2, 1, ["one"])])
def test_impossible_sheets_are_refused(count: int, columns: int, captions: list[str] | None) -> None:
    with pytest.raises(ValueError):
        contact_sheet([Image.new("RGB", (4, 4))] * count, columns=columns, captions=captions)
