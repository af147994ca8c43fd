"""Names that others gave, as text: nothing in them is markup, and nothing in them turns what stands around them."""

import html
import re
from typing import Any

_MAX_CHARACTERS = 48  # of a name in a figure; tables hold it whole
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Put a sign in the place of control characters, among them those that turn the direction of reading."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def short(name: Any) -> str:
    """A name that leaves a figure room for its drawing."""
    text = visible(str(name))
    cut = len(text) > _MAX_CHARACTERS
    return text[: _MAX_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}" if cut else text


def figure_text(name: Any) -> str:
    """A name as Plotly draws it letter by letter: of itself Plotly reads tags in texts."""
    return html.escape(short(name), quote=False)


def read_out(text: str | None) -> str:
    """The reverse: what a figure's text says, in one line without markup."""
    return html.unescape(re.sub(r"<[^>]*>", " ", text or "")).replace("\n", " ").strip()
