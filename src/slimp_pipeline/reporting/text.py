"""Names that others gave, as text: nothing in them is markup, and nothing in them turns what stands around them."""

import html
import re
import textwrap
from typing import Any

_MAX_CHARACTERS = 48  # of a name in a figure; tables hold it whole
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Put a sign in the place of control characters, among them those that turn the direction of reading."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def short(name: Any, num_characters: int = _MAX_CHARACTERS) -> str:
    """A name that leaves a figure room for its drawing."""
    text = visible(str(name))
    cut = len(text) > num_characters
    return text[: num_characters - 1] + "\N{HORIZONTAL ELLIPSIS}" if cut else text


def figure_text(name: Any, num_characters: int = _MAX_CHARACTERS) -> str:
    """A name as Plotly draws it letter by letter: of itself Plotly reads tags in texts."""
    return html.escape(short(name, num_characters), quote=False)


def in_lines(name: Any, num_characters: int) -> str:
    """The same in lines of so many characters at most, where one line would take the drawing's room."""
    lines = textwrap.wrap(short(name), num_characters, break_on_hyphens=False)
    return "<br>".join(figure_text(line) for line in lines)


def read_out(text: str | None) -> str:
    """The reverse: what a figure's text says, in one line without markup."""
    return html.unescape(re.sub(r"<[^>]*>", " ", text or "")).replace("\n", " ").strip()
