"""The pictures of the docs: of a project in which the tutorial's commands have run, in a browser without a network.

    python docs/take_pictures.py PROJECT

They show the fabricated cohorts alone: no patient in them is real.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import mlflow
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

IMAGES = Path(__file__).parent / "images"
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
REPORT, SUSPECTS, COMPARISON = (f"data/08_reporting/demo_clinic/{n}.html" for n in ("report", "suspects", "comparison"))
SHOW = "document.querySelector('{}').scrollIntoView({{block: 'start'}})"
DISMISS = """for (const button of document.querySelectorAll('button'))
  if (/^(Got it|Dismiss|Skip|Close)/.test(button.textContent.trim() || button.ariaLabel || '')) button.click()"""
MLFLOW_PORT, NUM_COLOURS, WIDTH_PX = 5099, 96, 1200


@contextlib.contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium, as wide as a page of the docs."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory() as profile:
        for option in (*OPTIONS.split(), NO_NETWORK, f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


@contextlib.contextmanager
def serving(project: Path, url: str, *command: str) -> Iterator[None]:
    """A server of the project that answers at an address."""
    with tempfile.TemporaryFile() as output:
        own = [sys.executable, "-m", *command]
        server = subprocess.Popen(own, cwd=project, stdout=output, stderr=output, start_new_session=True)
        try:
            deadline = time.monotonic() + 180
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                    break
                time.sleep(1)
            yield
        finally:
            server.terminate()
            server.wait()


def take(
    driver: webdriver.Chrome,
    name: str,
    url: str,
    height_px: int,
    *,
    wait_s: float = 4,
    script: str = "",
    typed: str = "",
) -> None:
    """Open a page, and keep what is in view as a small PNG."""
    size = {"width": WIDTH_PX, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(url)
    time.sleep(wait_s)  # figures are drawn, lists come
    if script:
        driver.execute_script(script)
        time.sleep(2)
    if typed:
        driver.find_element(By.CSS_SELECTOR, "input[placeholder^=Search]").send_keys(typed)
        time.sleep(6)
    picture = Image.open(BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    keep(name, picture)


def keep(name: str, picture: Image.Image) -> None:
    """Write a picture with few colours."""
    few = picture.quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    few.save(IMAGES / f"{name}.png", optimize=True)
    print(f"{name}.png {(IMAGES / f'{name}.png').stat().st_size / 1e3:.0f} kB")


def latest(project: Path, path: str) -> Path:
    """Newest version of an artifact."""
    return sorted((project / path).glob(f"*/{Path(path).name}"))[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    project = parser.parse_args().project.resolve()
    sheet = Image.open(latest(project, "data/03_primary/demo_clinic/contact_sheet.png")).convert("RGB")
    sheet.thumbnail((WIDTH_PX, WIDTH_PX))
    keep("contact_sheet", sheet)
    with browser() as driver:
        report = sorted((project / REPORT).glob("*/report.html"))[
            0
        ].as_uri()  # of the demo, not of what was tried after it
        take(driver, "report", report, 900)
        take(
            driver,
            "report_figures",
            report,
            720,
            script=SHOW.format(".plotly-graph-div"),
        )
        take(driver, "suspects", latest(project, SUSPECTS).as_uri(), 560, script=SHOW.format("h2"))
        take(driver, "comparison", latest(project, COMPARISON).as_uri(), 800)
        mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
        runs = mlflow.search_runs(experiment_names=["slimp"], output_format="list")
        whole = next(run.info for run in reversed(runs) if run.info.run_name.startswith("everything"))
        address = f"http://127.0.0.1:{MLFLOW_PORT}"
        store = "--backend-store-uri=sqlite:///mlflow.db"
        with serving(project, address, "mlflow", "ui", store, f"--port={MLFLOW_PORT}"):
            experiment = f"{address}/#/experiments/{whole.experiment_id}/runs"
            take(driver, "mlflow", f"{experiment}?workflowType=machine_learning", 560, wait_s=20, script=DISMISS)
            curves = f"{experiment}/{whole.run_id}/model-metrics?workflowType=machine_learning"
            take(driver, "mlflow_curves", curves, 700, wait_s=20, script=DISMISS, typed="loss")


if __name__ == "__main__":
    main()
