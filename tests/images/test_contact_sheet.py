"""Contact sheets."""

import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from slimp_pipeline.images.contact_sheet import cohort_sheet, contact_sheet
from slimp_pipeline.images.store import SCHEMA, ImageStore


def test_a_sheet_has_room_for_every_picture() -> None:
    pictures = [Image.new("RGBA", (30, 20), "red")] * 5
    assert contact_sheet(pictures, columns=2, side_px=40).size == (2 * 44 + 4, 3 * 44 + 4)
    captioned = contact_sheet(pictures, columns=2, side_px=40, captions=["naevus"] * 5)
    assert captioned.height == 3 * 56 + 4


def test_pictures_keep_their_proportions() -> None:
    sheet = contact_sheet([Image.new("RGB", (40, 20), "red")], columns=1, side_px=40)
    assert sheet.getpixel((24, 24)) == (255, 0, 0)
    assert sheet.getpixel((24, 8)) == (255, 255, 255)


@pytest.mark.parametrize(("count", "columns", "captions"), [(1, 0, None), (2, 1, ["one"])])
def test_impossible_sheets_are_refused(count: int, columns: int, captions: list[str] | None) -> None:
    with pytest.raises(ValueError):
        contact_sheet([Image.new("RGB", (4, 4))] * count, columns=columns, captions=captions)


def test_a_cohort_shows_every_diagnosis_and_leaves_rows_without_image_out(to_bytes, tmp_path) -> None:
    colours = ["red"] * 100 + ["green", "blue"]
    rows = [
        {"image_id": str(n), "encoded": to_bytes(Image.new("RGB", (9, 9), c), "PNG")} for n, c in enumerate(colours)
    ]
    with pa.ipc.new_file(str(tmp_path / "s.arrow"), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, SCHEMA))
    diagnosis = pd.array(["nevus"] * 100 + ["melanoma", None, "melanoma"], dtype="str")
    lesions = pd.DataFrame({"diagnosis": diagnosis, "store_index": pd.array([*range(102), None], dtype="Int64")})
    colours = cohort_sheet(lesions, ImageStore(tmp_path / "s.arrow")).getcolors(10**6)
    areas = {colour: count for count, colour in colours}
    assert areas[(255, 0, 0)] == 20 * 96**2  # a third of the sheet at the most
    assert areas[(0, 128, 0)] == areas[(0, 0, 255)] == 96**2


def test_a_cohort_without_images_has_an_empty_sheet(tmp_path) -> None:
    with pa.ipc.new_file(str(tmp_path / "s.arrow"), SCHEMA):
        pass
    lesions = pd.DataFrame({"diagnosis": ["nevus"], "store_index": pd.array([None], dtype="Int64")})
    assert cohort_sheet(lesions, ImageStore(tmp_path / "s.arrow")).getextrema() == ((255, 255),) * 3
