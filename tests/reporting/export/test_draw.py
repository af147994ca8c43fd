"""Figures as PNG and SVG."""

import io
import shutil

import pytest
from PIL import Image

from slimp_pipeline.reporting.export.draw import HEIGHT_PX, PNG_SCALE, WIDTH_PX, draw_pictures


def test_every_figure_is_drawn_as_svg_and_png(drawn):
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no Chromium: figures aren't drawn")
    pictures = draw_pictures(drawn, ["svg", "png"])
    assert set(pictures) == {f"{name}.{form}" for name in drawn for form in ("svg", "png")}
    picture = Image.open(io.BytesIO(pictures["results.png"]))
    assert picture.size == (WIDTH_PX * PNG_SCALE, HEIGHT_PX * PNG_SCALE)
    assert len(picture.convert("RGB").getcolors(10**6)) > 10  # something is on it
    assert b"Linear probe" in pictures["results.svg"]


def test_without_a_browser_nothing_is_drawn_and_the_log_says_why(drawn, monkeypatch, caplog):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    with caplog.at_level("INFO"):
        assert draw_pictures(drawn, ["svg", "png"]) == {}
    assert "PNG and SVG need Chrome or Chromium" in caplog.text


def test_where_no_format_is_asked_for_no_browser_is_started(drawn, monkeypatch, caplog):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    assert draw_pictures(drawn, []) == {} and not caplog.text
