"""A slip in a file of `conf/`: file, line, what is wrong and what to do."""

from collections.abc import Sequence
from typing import NamedTuple


class Slip(NamedTuple):
    """What is wrong in a file, and in which of its lines (None: in no single one)."""

    file: str
    line: int | None
    words: str

    def __str__(self) -> str:
        """As it is shown: file, line and words."""
        return f"{self.file}, line {self.line}: {self.words}" if self.line else f"{self.file}: {self.words}"


def refuse(problems: Sequence[object], title: str = "wrong configuration") -> None:
    """Raise what was found, if anything was.

    Raises:
        ValueError: With every problem, a line each.
    """
    lines = list(dict.fromkeys(map(str, problems)))
    if len(lines) == 1:
        raise ValueError(lines[0])
    if lines:
        raise ValueError("\n".join([title, *(f"  {line}" for line in lines)]))
