"""What holds for every page: text stays text, no barrier to keyboard or screen reader, nothing leaves it."""

import base64
import importlib.resources
import itertools

import pytest

from slimp_pipeline.reporting.text import visible

from .conftest import HOSTILE_TEXTS, NUM_FIGURES

TRAP = """
window.alerts = [];
window.alert = window.confirm = window.prompt = (said) => { window.alerts.push(String(said)); };
"""
HOVER_ALL = """
const hovered = [];
for (const figure of document.querySelectorAll(".js-plotly-plot")) {
  figure._fullData.forEach((trace, number) => {
    try { Plotly.Fx.hover(figure, [{curveNumber: number, pointNumber: 0}]); hovered.push(number); } catch (error) {}
  });
}
return hovered.length;
"""
ATTACKS = "[onerror], [onload], [onmouseover], [href^='javascript:'], main script script, td script, td img, text a"


def media(browser, scheme, kind=""):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": [feature]})


@pytest.fixture
def trapped(browser):
    """Whatever calls for attention in a page that is opened from here on is noted."""
    trap = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TRAP})
    yield browser
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", trap)
    media(browser, "light")


@pytest.mark.parametrize("width_px", [390, 1280])
def test_hostile_text_is_text_wherever_it_stands(hostile_page, trapped, show, width_px):
    name, text = hostile_page
    browser = show(text, width_px, NUM_FIGURES[name])
    if NUM_FIGURES[name]:
        assert browser.execute_script(HOVER_ALL) > 0
    assert browser.execute_script("return window.alerts") == []
    assert browser.find_elements("css selector", ATTACKS) == []
    shown = browser.execute_script("return document.body.textContent")
    assert "\u202e" not in shown and "49" not in browser.title
    drawn = "return [...document.querySelectorAll('.js-plotly-plot .main-svg text')].map((one) => one.textContent)"
    if name in ("report", "interactive"):
        assert {visible(part) for part in HOSTILE_TEXTS if len(part) <= 48} <= set(browser.execute_script(drawn))
    read = HOSTILE_TEXTS if name != "interactive" else [part for part in HOSTILE_TEXTS if len(part) <= 48]
    assert [part for part in read if visible(part) not in shown] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(hostile_page, trapped, show, scheme):
    axe = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    media(trapped, scheme)
    name, text = hostile_page
    browser = show(text, 1280, NUM_FIGURES[name])
    browser.set_script_timeout(180)  # a busy machine takes its time
    browser.execute_script(axe)
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    assert len(found["passes"]) > 15
    said = [(one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
    assert said == []


def test_a_policy_in_every_page_lets_no_request_out(hostile_page, show):
    name, text = hostile_page
    browser = show(text, 1280, NUM_FIGURES[name])
    asked = "fetch('http://127.0.0.1:9/').then(() => arguments[0]('sent'), (error) => arguments[0](String(error)))"
    assert "TypeError" in browser.execute_async_script(asked)
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_figures_are_light_on_dark_screens_and_dark_on_paper(report_page, trapped, show):
    media(trapped, "dark")
    browser = show(report_page, 1280, NUM_FIGURES["report"])
    colour = "const one = document.querySelector(arguments[0]); return getComputedStyle(one)[arguments[1]]"
    title, ground = (".plot .gtitle", "fill"), ("body", "backgroundColor")
    assert browser.execute_script(colour, *title) == "rgb(230, 235, 240)"
    assert browser.execute_script(colour, *ground) == "rgb(18, 24, 30)"
    assert browser.execute_script(colour, ".plot .main-svg", "backgroundColor") == "rgba(0, 0, 0, 0)"
    media(browser, "dark", "print")
    assert browser.execute_script(colour, *title) == "rgb(27, 39, 51)"
    assert browser.execute_script(colour, *ground) == "rgb(255, 255, 255)"


def test_paper_shows_every_section_and_no_figure_is_wider_than_it(report_page, trapped, show):
    browser = show(report_page, 1280, NUM_FIGURES["report"])
    browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = false; })")
    browser.execute_script(
        "addEventListener('beforeprint', () => { window.printed = {"
        "closed: document.querySelectorAll('details:not([open])').length,"
        "widths: [...document.querySelectorAll('.js-plotly-plot .main-svg')].map((one) => one.getAttribute('width')),"
        "}; })"
    )
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    seen = browser.execute_script("return window.printed")
    assert seen["closed"] == 0 and seen["widths"] and {float(width) for width in seen["widths"]} == {660.0}
    assert browser.find_elements("css selector", "details[open]") == []  # as it was


def test_everything_is_reached_by_keyboard_and_seen_to_be(report_page, trapped, show):
    keys = pytest.importorskip("selenium.webdriver").Keys
    browser = show(report_page, 1280, NUM_FIGURES["report"])
    browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    reached, outlined = set(), set()
    for _ in range(150):
        browser.switch_to.active_element.send_keys(keys.TAB)
        place, outline = browser.execute_script(
            "const one = document.activeElement;"
            "return [one.className + one.tagName, getComputedStyle(one).outlineStyle]"
        )
        if place == "BODY":  # behind the last
            break
        reached.add(place)
        outlined.add(outline)
    assert {"skipA", "A", "SUMMARY", "plotFIGURE", "scroll stickyDIV"} <= reached and "none" not in outlined
    browser.find_element("css selector", ".skip").send_keys(keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "content"


def test_what_colours_the_phenotypes_is_chosen_without_a_mouse(report_page, trapped, show):
    keys = pytest.importorskip("selenium.webdriver").Keys
    browser = show(report_page, 1280, NUM_FIGURES["report"])
    choice = browser.find_element("css selector", ".choice select")
    drawn = "return arguments[0].closest('.plot').querySelector('.js-plotly-plot').data.map((one) => one.visible)"
    before = browser.execute_script(drawn, choice)
    choice.send_keys(keys.ARROW_DOWN)
    after = browser.execute_script(drawn, choice)
    assert sum(before) == 2 and before[:2] == [True, True]
    assert after[:2] == [False, False] and any(after)
    assert browser.find_elements("css selector", ".updatemenu-button") == []


def test_every_figure_has_a_name_and_its_numbers_in_words(hostile_page):
    name, text = hostile_page
    assert text.count('<figure class="plot" tabindex="0" aria-label="') == NUM_FIGURES[name]
    for part in text.split('<figcaption class="unseen">')[1:]:
        assert any(character.isdigit() for character in part.split("</figcaption>")[0])


def test_headings_follow_one_another_and_tables_have_captions(hostile_page, show):
    name, text = hostile_page
    browser = show(text, 1280, NUM_FIGURES[name])
    levels = [int(one.tag_name[1]) for one in browser.find_elements("css selector", "h1, h2, h3, h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert browser.find_elements("css selector", "table:not(:has(caption)), th:not([scope])") == []
    assert browser.execute_script("return document.documentElement.lang") == "en"
