"""Figures as PNG and SVG, for papers and slides."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import plotly.graph_objects as go
from kaleido import Kaleido
from kaleido.errors import BrowserFailedError, ChromeNotFoundError

logger = logging.getLogger(__name__)
WIDTH_PX, HEIGHT_PX, PNG_SCALE = 800, 480, 2


def draw_pictures(figures: Mapping[str, go.Figure]) -> dict[str, bytes]:
    """Draw Plotly figures with the Chrome or Chromium of this machine; no request leaves it.

    Returns:
        `<name>.svg` and `<name>.png` per figure; nothing, and a line in the log that says why, where there is
        no browser.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's own event loop may be running in this one
            return thread.submit(asyncio.run, _draw(figures)).result()
    except (ChromeNotFoundError, BrowserFailedError) as error:
        logger.info(
            "Figures are kept as Plotly JSON alone: PNG and SVG need Chrome or Chromium (%s)", str(error).split(". ")[0]
        )
        return {}


async def _draw(figures: Mapping[str, go.Figure]) -> dict[str, bytes]:
    async with Kaleido(n=1, mathjax=False) as browser:
        return {
            f"{name}.{form}": await browser.calc_fig(
                figure, opts={"format": form, "width": WIDTH_PX, "height": HEIGHT_PX, "scale": PNG_SCALE}
            )
            for name, figure in figures.items()
            for form in ("svg", "png")
        }
