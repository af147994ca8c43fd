"""The browser that draws pictures: it asks nothing of the network, and leaves nothing behind."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from choreographer.browsers import Chromium

from slimp_pipeline.processes.process import Process

_PREFIX, _OWNER = "slimp-browser-", "owner.json"
_UNASKED = (
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-features=AsyncDns,MediaRouter,NetworkTimeServiceQuerying,OptimizationHints,Translate",
    "--dns-prefetch-disable",
    "--no-pings",
    "--component-updater=url-source=data:,none",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "about:blank",  # or else the first page would be that of a search engine
)


class QuietChromium(Chromium):
    """Chromium, or Chrome, without what it looks up for itself."""

    def get_cli(self) -> Sequence[str]:
        """The command that starts it."""
        without_network = (sys.executable, "-I", str(Path(__file__).with_name("no_network.py")))
        return [*without_network, *super().get_cli(), *_UNASKED]


@contextmanager
def profile() -> Iterator[str]:
    """A folder for the browser's profile, which is removed afterwards; a file in it says whose it is."""
    # Ubuntu's snap doesn't see the folder for temporary files.
    parent = Path.home() if "snap" in str(Chromium.find_browser(skip_local=False)) else None
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True) as folder:
        (Path(folder) / _OWNER).write_text(Process.own().as_text(), encoding="utf-8")
        yield folder


def remove_left_profiles() -> None:
    """Remove profiles of processes that were killed: of those of this machine, and provably gone, alone."""
    for parent in {Path(tempfile.gettempdir()), Path.home()}:
        for note in parent.glob(f"{_PREFIX}*/{_OWNER}"):
            if (owner := _owner(note)) and owner.is_gone():
                shutil.rmtree(note.parent, ignore_errors=True)


def _owner(note: Path) -> Process | None:
    try:
        return Process.from_text(note.read_text(encoding="utf-8"))
    except OSError:  # another run removes it, or it is another user's
        return None
