"""Nothing calls home: a run, the browser it starts, and its pages ask nothing of the network."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest

ADDRESS = re.compile(r"(?:connect|bind)\(\d+, (\{sa_family=AF_INET6?, .*?\})")
LOOPBACK = re.compile(r'inet_addr\("127\.[\d.]+"\)|inet_pton\(AF_INET6, "(::1|::ffff:127\.[\d.]+)"')
# What a page would load by itself; links, which a reader may follow, are fine.
LOADED = re.compile(
    r"<(?:script|img|iframe|link|source|video|audio|embed|object)\b[^>]*?\b(?:src|href|data)\s*=\s*[\"']?(?:https?:)?//"
    r"|@import|url\(\s*[\"']?(?:https?:)?//",
    re.IGNORECASE,
)


def require_this_machine_alone(noted: Path) -> None:
    if not noted.exists():
        pytest.skip("no strace, or it may not trace here: connections weren't noted (make browser installs it)")
    text = noted.read_text(encoding="utf-8", errors="replace")
    assert "+++ exited with 0 +++" in text  # it was watched to its end
    assert not [address for address in ADDRESS.findall(text) if not LOOPBACK.search(address)]


def test_a_whole_run_connects_and_listens_to_this_machine_alone(finished):
    project, _ = finished
    require_this_machine_alone(project.folder.parent / "connections")


def test_looking_for_faults_exporting_and_kedro_vizs_pages_do_so_too(planted_run):
    for noted in planted_run.connections:
        require_this_machine_alone(noted)


@pytest.mark.parametrize(
    ("line", "is_home"),
    [
        ('7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.255.255.53")}, 16) = 0', False),
        ('7 bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("0.0.0.0")}, 16) = 0', False),
        ('bind(3, {sa_family=AF_INET6, sin6_port=htons(1), inet_pton(AF_INET6, "::", &sin6_addr)}, 28) = 0', False),
        ('7 bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = 0', True),
        ('7 connect(3, {sa_family=AF_UNIX, sun_path="/run/a"}, 9) = 0', True),
    ],
)
def test_an_address_elsewhere_or_everywhere_is_found(tmp_path, line, is_home):
    (tmp_path / "noted").write_text(f"{line}\n7 +++ exited with 0 +++\n")
    with nullcontext() if is_home else pytest.raises(AssertionError):
        require_this_machine_alone(tmp_path / "noted")


@pytest.mark.parametrize(
    ("page", "loads"),
    [
        ('<script src="https://cdn.plot.ly/plotly.min.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', True),
        ("<style>@import 'a.css'</style>", True),
        ("<style>a {background: url(https://example.org/a.png)}</style>", True),
        ('<a href="https://example.org">read more</a> <img src="data:image/png;base64,AAAA">', False),
    ],
)
def test_what_a_page_loads_by_itself_is_found(page, loads):
    assert bool(LOADED.search(page)) == loads


def test_pages_need_nothing_from_elsewhere_to_be_shown(finished):
    project, _ = finished
    pages = [path for folder in ("data", "mlruns") for path in (project.folder / folder).rglob("*.html")]
    pages = [path for path in pages if path.is_file()]  # folders of versions bear the name, too
    assert {"report.html", "interactive.html"} <= {path.name for path in pages}
    for path in pages:
        # Strings of Plotly's own code stand in every page; it loads none of them for these figures.
        shown = re.sub(r"<script>.*?</script>", "<script>", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not LOADED.search(shown), path


def test_mlflow_shows_all_figures_on_one_page(finished):
    project, _ = finished
    (page,) = (project.folder / "mlruns").rglob("interactive.html")
    html = page.read_text(encoding="utf-8")
    assert {"results_figure", "roc_figure", "embedding_map"} <= set(re.findall(r'<h2 id="(\w+)">', html))
    assert html.count("plotly.js v") == 1
    assert not list(page.parent.glob("*_figure.html"))
