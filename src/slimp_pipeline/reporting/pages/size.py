"""A page is held below a size: pictures are left out, from the last on, and the page says how many."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)
_Groups = dict[str, list[Any]]


def held_below(
    max_mb: float, pictures: Mapping[str, list[Any]], render: Callable[[_Groups, dict[str, int]], str], page: str
) -> str:
    """Render a page with as many of its pictures as it has room for.

    Args:
        max_mb: Size that the page doesn't exceed, in 10^6 bytes.
        pictures: Section -> groups of pictures that stand together, the most important first. Sections give way in
            their order: the first loses its last groups before the second loses any.
        render: Takes the groups that are shown, and how many of each section are left out.
        page: What it is called, where it is too large without any picture: then a warning says so.
    """
    shown = {name: list(groups) for name, groups in pictures.items()}
    while True:
        text = render(shown, {name: len(pictures[name]) - len(groups) for name, groups in shown.items()})
        excess = len(text.encode()) - max_mb * 1e6
        if excess <= 0:
            return text
        if not any(shown.values()):
            logger.warning(
                "%s is %.1f MB without any picture, more than the %g MB asked for", page, len(text) / 1e6, max_mb
            )
            return text
        _leave_out(shown, excess)


def _leave_out(shown: _Groups, excess: float) -> None:
    """Take groups away until that many bytes are gone, and one group at least."""
    for groups in shown.values():
        while groups and excess > 0:
            excess -= _num_bytes(groups.pop())


def _num_bytes(group: Any) -> int:
    """Of all texts in a group, which are its pictures' bytes above all."""
    if isinstance(group, str):
        return len(group)
    if isinstance(group, Mapping):
        group = group.values()
    elif not isinstance(group, list | tuple):
        return 0
    return sum(map(_num_bytes, group))
