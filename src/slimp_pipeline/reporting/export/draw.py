"""Figures as PNG and SVG, for papers and slides."""

import asyncio
import itertools
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import plotly.graph_objects as go
from kaleido import Kaleido, PageGenerator
from kaleido.errors import BrowserFailedError, ChromeNotFoundError

from slimp_pipeline.reporting.export.browser import QuietChromium, profile

logger = logging.getLogger(__name__)
WIDTH_PX, HEIGHT_PX, PNG_SCALE = 800, 480, 2


def draw_pictures(figures: Mapping[str, go.Figure], formats: Sequence[str]) -> dict[str, bytes]:
    """Draw Plotly figures with the Chrome or Chromium of this machine; no request leaves it.

    Returns:
        `<name>.<format>` per figure and format (svg, png); nothing, and a line in the log that says why, where there is
        no browser.
    """
    if not formats:
        return {}
    stopped = threading.Event()
    try:
        with profile() as folder, ThreadPoolExecutor(1) as thread:  # a notebook's own event loop may run in this one
            drawing = thread.submit(asyncio.run, _draw(figures, formats, Path(folder), stopped))
            try:
                return drawing.result()
            finally:
                stopped.set()  # after Ctrl-C, nobody waits for the other pictures
    except (ChromeNotFoundError, BrowserFailedError) as error:
        logger.info(
            "Figures are kept as Plotly JSON alone: PNG and SVG need Chrome or Chromium (%s)", str(error).split(". ")[0]
        )
        return {}


async def _draw(
    figures: Mapping[str, go.Figure], formats: Sequence[str], folder: Path, stopped: threading.Event
) -> dict[str, bytes]:
    page = folder / "page.html"
    page.write_text(PageGenerator(mathjax=False).generate_index(), encoding="utf-8")
    pictures = {}
    async with Kaleido(n=1, page_generator=page, browser_cls=QuietChromium, tmp_dir=str(folder)) as browser:
        for name, form in itertools.product(figures, formats):
            options = {"format": form, "width": WIDTH_PX, "height": HEIGHT_PX, "scale": PNG_SCALE}
            pictures[f"{name}.{form}"] = await browser.calc_fig(figures[name], opts=options)
            if stopped.is_set():
                break
    return pictures
