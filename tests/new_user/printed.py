"""What was printed, held against what a page says is printed."""

import difflib
import re
from itertools import groupby

_PART = re.compile(r"(?P<any><\w+>)|(?P<number>[+-]?\d[\d,]*(?:\.\d+)?)|(?P<text>[^\s<\d+-]+|[<+-])|(?P<blank>\s+)")


def differences(said: str, printed: str, *, within: float = 0.0, any_number: bool = False) -> list[str]:
    """Lines that a page has and the output hasn't.

    Lines that follow one another on the page do so in the output, too; a line `…` stands for any number of lines.
    `<version>` or another name in angle brackets stands for any text without blanks. Blanks count as one.

    Args:
        said: What the page says.
        printed: The output.
        within: By how much a decimal number may differ; whole numbers may not.
        any_number: For a run of another size: any number will do, lines that judge by noise aren't compared, and the
            order of lines, which goes by their numbers, may be another.

    Returns:
        A sentence for each line that isn't there; empty if all are.
    """
    wanted, lines = (
        [line for line in text.splitlines() if line.strip() and not (any_number and " noise" in line)]
        for text in (said, printed)
    )
    if any_number:
        gaps = ("…", "...")
        there = [
            line.strip() in gaps or any(_same(line, other, within, any_number) for other in lines) for line in wanted
        ]
        return [_told(line, lines) for line, is_there in zip(wanted, there, strict=True) if not is_there]
    found, start = list[str](), 0
    for is_gap, run in groupby(wanted, key=lambda line: line.strip() in ("…", "...")):
        chunk = [] if is_gap else list(run)
        places = range(start, len(lines) - len(chunk) + 1)
        fits = (n for n in places if all(map(lambda a, b: _same(a, b, within), chunk, lines[n:])))
        place = next(fits, None)
        if place is None:
            missing = [a for a in chunk if not any(_same(a, b, within) for b in lines[start:])]
            found += [_told(line, lines) for line in missing] or [f"not one after the other: {chunk}"]
        else:
            start = place + len(chunk)
    return found


def _same(said: str, printed: str, within: float, any_number: bool = False) -> bool:
    pattern, numbers = "", []
    for part in _PART.finditer(said.strip()):
        if part["any"]:
            pattern += r"\S+"
        elif part["number"]:
            numbers.append(part["number"])
            pattern += r"([+-]?\d[\d,]*(?:\.\d+)?)"
        else:
            pattern += re.escape(part["text"]) if part["text"] else r"\s+"
    match = re.fullmatch(pattern, printed.strip())
    return match is not None and (any_number or all(map(lambda a, b: _near(a, b, within), numbers, match.groups())))


def _near(said: str, printed: str, within: float) -> bool:
    allowed = within + 1e-9 if "." in said else 0.0
    return abs(float(said.replace(",", "")) - float(printed.replace(",", ""))) <= allowed


def _told(line: str, lines: list[str]) -> str:
    close = difflib.get_close_matches(line, lines, n=1, cutoff=0.5)
    return f"the page says   {line.strip()}\n  printed was     {close[0].strip() if close else '(nothing like it)'}"
