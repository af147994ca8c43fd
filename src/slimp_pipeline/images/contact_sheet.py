"""Many small pictures on one sheet, for looking at a cohort at a glance."""

import io
from collections.abc import Sequence

import pandas as pd
from PIL import Image, ImageDraw

from slimp_pipeline.images.store import ImageStore

_GAP_PX = 4
_CAPTION_PX = 12
_COLUMNS, _NUM_PICTURES = 10, 60


def cohort_sheet(lesions: pd.DataFrame, store: ImageStore) -> Image.Image:
    """Show a cohort: up to 60 of its pictures, as many of each diagnosis as there are, spread over the table.

    Args:
        lesions: diagnosis, store_index.
        store: The image store.
    """
    rows = lesions.loc[lesions["store_index"].notna(), ["diagnosis", "store_index"]].fillna({"diagnosis": "unlabelled"})
    by_class = rows.groupby("diagnosis", sort=True)
    share = -(-_NUM_PICTURES // max(1, by_class.ngroups))
    chosen = [group.iloc[:: max(1, len(group) // share)].head(share) for _, group in by_class]
    shown = pd.concat(chosen).head(_NUM_PICTURES) if chosen else rows
    pictures = [Image.open(io.BytesIO(store.encoded(int(index)))) for index in shown["store_index"]]
    return contact_sheet(pictures, _COLUMNS, captions=shown["diagnosis"].tolist())


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, side_px: int = 96, captions: Sequence[str] | None = None
) -> Image.Image:
    """Lay pictures out row by row on white.

    Args:
        pictures: Pictures of any size and mode; each is fitted into its square, its proportions kept.
        columns: Pictures in a row, at least 1.
        side_px: Side of each square.
        captions: One line of text under each picture, cut to its width.

    Returns:
        An RGB picture, `columns` squares wide, with 4 px between the squares.

    Raises:
        ValueError: If columns or side_px is below 1, or captions differ in number.
    """
    if columns < 1 or side_px < 1:
        raise ValueError("A contact sheet needs at least one column and one pixel a side.")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f"{len(captions)} captions for {len(pictures)} pictures.")
    cell_width = side_px + _GAP_PX
    cell_height = cell_width + (_CAPTION_PX if captions is not None else 0)
    num_rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP_PX, num_rows * cell_height + _GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        left = _GAP_PX + (number % columns) * cell_width
        top = _GAP_PX + (number // columns) * cell_height
        small = picture.convert("RGB")
        scale = side_px / max(small.size)
        size = (max(1, round(small.width * scale)), max(1, round(small.height * scale)))
        small = small.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(small, (left + (side_px - small.width) // 2, top + (side_px - small.height) // 2))
        if captions is not None:
            pen.text((left, top + side_px), _fitted(pen, captions[number], side_px), fill="black")
    return sheet


def _fitted(pen: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    while text and pen.textlength(text) > width_px:
        text = text[:-1]
    return text
