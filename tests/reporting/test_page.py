"""The page, as text and in a browser."""

import json
import shutil
import time

import pandas as pd
import pytest

from slimp_pipeline.reporting.page import render_page

OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture
def page(roles, history, results, differences, drawn, gallery, splits):
    def render(shown=gallery):
        training_rows = splits[["image_id", "patient_id"]]
        parts = [training_rows.assign(partition=name) for name in ("fold_0", "fold_1")]
        return render_page(roles, pd.concat(parts), history, results, differences, drawn, shown)

    return render


def test_the_page_holds_its_numbers_and_calls_rows_without_diagnosis_unlabelled(page, results):
    text = page()
    for value in results.loc[results["draw"] == "all", "value"]:
        assert f"{value:.3f}" in text
    assert "<th>unlabelled</th><td>2</td>" in text and ">nan<" not in text
    assert "hold-out" in text


def test_names_of_categories_are_escaped(page):
    text = page()
    assert "<script>alert" not in text and "<img src=x" not in text and "<b>more</b>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_no_id_of_an_image_or_patient_is_on_the_page_unless_given(page, gallery):
    text = page()
    assert "secret-" not in text and "person-" not in text
    shown = [[picture | {"image_id": "secret-1"} for picture in row] for row in gallery]
    assert "secret-1" in page(shown)


def test_a_page_without_gallery_has_no_pictures(page):
    assert "Nearest neighbours" not in page([]) and "<img" not in page([]).split("</script>", 1)[1]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium isn't installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("chromium and chromedriver aren't installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*OPTIONS.split(" "), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()


@pytest.mark.parametrize("width_px", [390, 1280])
def test_the_page_stands_alone_and_fits_a_phone_and_a_desk(page, browser, tmp_path, width_px):
    (tmp_path / "report.html").write_text(page())
    metrics = {"width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": width_px < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("performance", "browser"):
        browser.get_log(log)  # of the page before
    browser.get((tmp_path / "report.html").as_uri())
    deadline = time.monotonic() + 20
    while _count(browser, ".js-plotly-plot .cartesianlayer .subplot.xy") < 6 and time.monotonic() < deadline:
        time.sleep(0.1)

    assert _count(browser, ".plotly-graph-div") == 6
    assert _count(browser, ".js-plotly-plot .cartesianlayer .subplot.xy") == 6
    assert _count(browser, "table") >= 8 and _count(browser, ".gallery img") == 15
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width_px
    beyond = "return [...document.querySelectorAll('h1, h2, h3, p, .card, .scroll, .figures > div, .gallery')].filter("
    beyond += "e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"
    assert not browser.execute_script(beyond)
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert {url.split(":", 1)[0] for url in _requests(browser)} <= {"file", "data"}
    assert browser.find_elements("css selector", "table th")[0].is_displayed()


def _count(browser, selector):
    return len(browser.find_elements("css selector", selector))


def _requests(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
