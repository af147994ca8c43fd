"""The documentation's site: whole, without broken links, and content with what it carries."""

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

REPOSITORY = Path(__file__).parents[2]
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}
FETCHED = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """What `make docs` builds."""
    return built(tmp_path_factory.mktemp("site"))


def built(folder, **settings):
    config = load_config(str(REPOSITORY / "mkdocs.yml"), strict=True, site_dir=str(folder), **settings)
    config.plugins.run_event("startup", command="build", dirty=False)
    build(config)
    return folder


class Loaded(HTMLParser):
    """Addresses that a page loads by itself; links that a reader may follow are none."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        address = given.get(LOADING.get(tag, ""))
        if address and (tag != "link" or FETCHED & set(given.get("rel", "").split())):
            self.addresses.append(address)


def loaded(page):
    parser = Loaded()
    parser.feed(page)
    return parser.addresses


def test_what_a_page_loads_is_found_and_what_it_links_to_is_not():
    page = '<link rel="stylesheet" href="//fonts.example/a.css"><link rel="next" href="b.html"><a href="https://x.org">x</a>'
    assert loaded(page + '<script src="https://cdn.example/a.js"></script>') == [
        "//fonts.example/a.css", "https://cdn.example/a.js",
    ]  # fmt: skip


def test_no_page_of_the_site_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        addresses = loaded(page.read_text(encoding="utf-8"))
        assert addresses and not [a for a in addresses if urlsplit(a).netloc], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\(\s*[\"']?)\s*(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize(
    ("text", "is_fine"),
    [
        ("# A page\n\n[itself](page.md#a-page)", True),
        ("# A page\n\n[gone](gone.md)", False),
        ("# A page\n\n[anchor](page.md#gone)", False),
        ("# A page\n\n[anchor](#gone)", False),
        ("# A page\n\n[absolute](/page.md)", False),
        ("# A page\n\n![picture](gone.png)", False),
    ],
)
def test_a_broken_link_or_anchor_fails_the_build(tmp_path, text, is_fine):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(text)
    settings = {"docs_dir": str(tmp_path / "docs"), "nav": ["page.md"], "plugins": [], "exclude_docs": ""}
    if is_fine:
        built(tmp_path / "site", **settings)
    else:
        with pytest.raises(Abort, match="1 warning"):
            built(tmp_path / "site", **settings)


def test_what_make_docs_calls_fails_by_a_warning(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A page\n\n[gone](gone.md)")
    (tmp_path / "mkdocs.yml").write_text("{site_name: a site, plugins: []}")
    (options,) = re.findall(r"/mkdocs build(( --[\w-]+)+)", (REPOSITORY / "Makefile").read_text())
    command = [sys.executable, "-m", "mkdocs", "build", *options[0].split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "gone.md" in done.stderr


def test_a_page_that_the_menu_lacks_fails_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("page.md", "forgotten.md"):
        (tmp_path / "docs" / name).write_text("# A page")
    with pytest.raises(Abort, match="1 warning"):
        built(
            tmp_path / "site", docs_dir=str(tmp_path / "docs"), nav=["page.md"], plugins=[], exclude_docs="",
        )  # fmt: skip


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_links_of_files_outside_the_site_lead_somewhere(name, site):
    path = REPOSITORY / name
    if not path.exists():
        pytest.skip(f"no {name}")
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
        page, _, anchor = target.partition("#")
        assert (REPOSITORY / page).exists(), target
        if anchor and page.startswith("docs/"):
            html = (site / page.removeprefix("docs/")).with_suffix(".html").read_text(encoding="utf-8")
            assert f'id="{anchor}"' in html, target


def test_issue_forms_are_whole_and_their_links_lead_somewhere():
    forms = [path for path in (REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 3
    for path in forms:
        text = path.read_text(encoding="utf-8")
        form = yaml.safe_load(text)
        assert form.keys() == {"name", "description", "labels", "body"}, path
        parts = [part for part in form["body"] if part["type"] != "markdown"]
        assert len({part["id"] for part in parts}) == len(parts)
        assert all(part["type"] in ("input", "textarea", "checkboxes") for part in parts)
        assert all(part["attributes"]["label"] for part in parts)
        assert all((REPOSITORY / page).exists() for page in re.findall(r"\.\./blob/HEAD/([\w/.]+)", text)), path
        assert "No patient data" in text


def test_every_page_of_docs_that_code_or_settings_name_is_there():
    files = [
        path for folder in ("src", "conf", "tests", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*") if path.suffix in {".py", ".yml"}
    ]  # fmt: skip
    texts = {path: path.read_text(encoding="utf-8") for path in [*files, REPOSITORY / "Makefile"]}
    named = {(name, path) for path, text in texts.items() for name in re.findall(r"\bdocs/[\w/]+\.(?:md|py)\b", text)}
    assert named
    assert not {(name, path) for name, path in named if not (REPOSITORY / name).exists()}


def test_readme_and_site_have_the_same_example_of_a_cohort():
    pages = (REPOSITORY / "README.md", REPOSITORY / "docs/start/own_cohort.md")
    examples = [re.findall(r"```yaml\n(my_clinic:.*?)```", page.read_text(), re.DOTALL) for page in pages]
    assert len(examples[0]) == 1 and examples[0] == examples[1]


def test_the_map_of_the_house_has_all_rooms_in_the_order_of_their_layers():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [c["layers"] for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    rooms = [[name.removeprefix("slimp_pipeline.") for name in layer.split(" | ")] for layer in layers]
    page = (REPOSITORY / "docs/contributing/house.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page.split("## ")[1], re.MULTILINE)
    assert [re.findall(r"\w+", line) for line in lines] == rooms


def test_no_picture_of_the_docs_is_large():
    sizes = [path.stat().st_size for path in (REPOSITORY / "docs").rglob("*.png")]
    assert sizes and sum(sizes) < 1.5e6


@pytest.fixture
def served(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_in_a_browser_pages_and_search_ask_nothing_of_the_network(served, browser):
    browser.get("about:blank")
    for log in ("performance", "browser"):
        browser.get_log(log)  # of the pages before
    for page in ("science/method.html", "reference/api/encoders.html", "index.html"):
        browser.get(f"{served}/{page}")
        assert browser.find_element("css selector", "h1").is_displayed()
    browser.find_element("css selector", "[data-md-component=search-query]").send_keys("phenotype")
    deadline = time.monotonic() + 20
    while not browser.find_elements("css selector", ".md-search-result__item") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert browser.find_elements("css selector", ".md-search-result__item")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert len(urls) > 10
    assert not [url for url in urls if not url.startswith((served, "data:"))]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
