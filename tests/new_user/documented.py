"""What a page tells a new user to run, and what it says is printed: the page itself is the source.

A comment, which readers don't see, stands before a block:

    <!-- new user: run -->                                     run the block, console or python
    <!-- new user: run, quick -->                              so quick that the tests run it too
    <!-- new user: run, answers at http://127.0.0.1:5000 -->   a server: end it once it has answered
    <!-- new user: prints -->                                  what the block before printed
    <!-- new user: prints, within 0.02 -->                     its decimal numbers may differ by so much
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

_MARKED = re.compile(r"^<!-- new user: (?P<mark>.*?) -->\n+```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.M)
_RUN = re.compile(r"run(?P<quick>, quick)?(, answers at (?P<url>http://127\.0\.0\.1:\d+))?")
_PRINTS = re.compile(r"prints(, within (?P<within>[\d.]+))?")


@dataclass(frozen=True)
class Step:
    """A block that is run.

    Attributes:
        place: Page and line.
        language: `console` or `python`.
        text: The block.
        quick: Whether tests run it.
        url: Where it answers, of a server; else "".
        said: What it prints, as the page has it; "" where the page doesn't tell.
        within: By how much decimal numbers may differ.
    """

    place: str
    language: str
    text: str
    quick: bool = False
    url: str = ""
    said: str = ""
    within: float = 0.0


def steps_of(page: Path) -> list[Step]:
    """The marked blocks of a page, in order.

    Raises:
        ValueError: If a mark isn't understood, or no block follows it; says where.
    """
    text, steps = page.read_text(encoding="utf-8"), list[Step]()
    found = list(_MARKED.finditer(text))
    if len(found) != text.count("<!-- new user:"):
        raise ValueError(f"{page}: a mark `<!-- new user: ... -->` that no block follows")
    for block in found:
        place = f"{page.name}:{text.count(chr(10), 0, block.start('text'))}"
        if run := _RUN.fullmatch(block["mark"]):
            steps.append(Step(place, block["language"], block["text"], bool(run["quick"]), run["url"] or ""))
        elif (prints := _PRINTS.fullmatch(block["mark"])) and steps:
            steps[-1] = replace(steps[-1], said=block["text"], within=float(prints["within"] or 0))
        else:
            raise ValueError(f"{place}: mark {block['mark']!r} isn't one of those that {Path(__file__).name} lists")
    return steps


def commands_of(page: Path) -> list[str]:
    """Every command in the console blocks of a page, marked or not; lines that end in a backslash are joined."""
    blocks = re.findall(r"^( *)```console\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.DOTALL | re.M)
    joined = [re.sub(r"\\\n\s*", "", block) for _, block in blocks]
    return [line.strip() for block in joined for line in block.splitlines() if line.strip()]
