"""What keeps YAML from reading a file, in words that name the line and the remedy."""

import re

import yaml

_ODD_SPACES = "\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff"
_INDENTATION = "wrong indentation: the names of one block start in one column (spaces, no tabs)"
_QUOTE = "put the text in quotes"


def explain(text: str, error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """Say where a text stops being YAML, and what to do.

    Args:
        text: Whole file.
        error: What PyYAML's scanner, parser or composer raised.

    Returns:
        Number of the line, from 1, and what is wrong in it.
    """
    lines = [*text.split("\n"), ""]
    mark = error.problem_mark or error.context_mark
    row, column = (mark.line, mark.column) if mark else (0, 0)
    opened = error.context_mark.line if error.context_mark else row
    context, problem = str(error.context or ""), str(error.problem or "")
    if found := _odd_indentation(lines, row, column):
        return found
    if "mapping values are not allowed" in problem:
        return _stray_colon(lines, row, column)
    if "could not find expected ':'" in problem:
        return opened + 1, _no_colon(lines[opened])
    if "quoted scalar" in context:
        return _quoted(lines, opened, row, problem)
    if "parsing a flow" in context and "expected ','" in problem:
        return _bracket(lines, opened, row, column)
    if "another document" in problem:
        return row + 1, "a line of `---` starts a second document: one file holds one, remove the line"
    if "undefined alias" in problem:
        return row + 1, f"`*` refers to an anchor (`&`), and there is none of this name. If the * is meant, {_QUOTE}"
    if "expected key" in problem:
        return _no_key(lines, row, column)
    if "expected '-' indicator" in problem or "document start" in problem:
        return row + 1, _INDENTATION
    return _bad_start(lines, context, problem, row, column, error.context_mark)


def _odd_indentation(lines: list[str], row: int, column: int) -> tuple[int, str] | None:
    if re.match(r" *\t", lines[row]) or lines[row][column : column + 1] == "\t":
        return row + 1, "a tab as indentation: YAML takes spaces only"
    for number in range(min(row, len(lines) - 1), -1, -1):
        if re.match(rf"\s*[{_ODD_SPACES}]", lines[number].removeprefix("\ufeff")):
            return number + 1, "indented with a special space (copied from a web page or text editor): use plain spaces"
    return None


def _stray_colon(lines: list[str], row: int, column: int) -> tuple[int, str]:
    line = lines[row]
    if within := re.match(r"\s*(?:- +)*(\S[^:]*):\s+(.+)", line[:column]):
        name, value = within[1], re.sub(r"\s+#.*", "", line[within.start(2) :]).strip()
        quoted = f"'{value}'" if '"' in value or "\\" in value else f'"{value}"'
        return row + 1, f"a colon in a text without quotes: quote it, {name}: {quoted}"
    above = next((number for number in range(row - 1, -1, -1) if lines[number].split("#")[0].strip()), row)
    if not re.search(r":(\s|$)", lines[above]):
        return above + 1, _no_colon(lines[above])
    return row + 1, f"{_INDENTATION}; line {above + 1} has its value already"


def _no_colon(line: str) -> str:
    if found := re.match(r"\s*(?:- +)*([^\s:]+):(\S.*)", line):
        return f"a space is missing after the colon: {found[1]}: {found[2].strip()}"
    return f"a colon is missing after a name, as in `name: value`: {line.strip()}"


def _quoted(lines: list[str], opened: int, row: int, problem: str) -> tuple[int, str]:
    if "escape" in problem or "hexdecimal" in problem:
        words = "in double quotes a backslash starts a special character. Use single quotes or /: \"C:\\x\" -> 'C:\\x'"
        return row + 1, words
    return opened + 1, "a quote is opened in this line and never closed"


def _bracket(lines: list[str], opened: int, row: int, column: int) -> tuple[int, str]:
    there = lines[row][column : column + 1]
    if "${" in lines[row][: column + 1]:
        return row + 1, 'within brackets an interpolation needs quotes: "${...}"'
    if there in ("]", "}"):
        return row + 1, f"`{there}` closes a bracket of the other kind, opened in line {opened + 1}"
    if row > opened:
        comment = "; ` #` starts a comment: quote a text that holds it" if " #" in lines[opened] else ""
        return opened + 1, f"a bracket is opened in this line and not closed, or a comma is missing{comment}"
    if there == ":":
        return row + 1, "within brackets a text with a colon needs quotes; or a comma is missing before this name"
    return row + 1, f"a comma is missing before `{lines[row][column:].strip()}`, or quotes around the text"


def _no_key(lines: list[str], row: int, column: int) -> tuple[int, str]:
    line = lines[row]
    before, there = line[:column].rstrip(), line[column : column + 1]
    if there in ("]", "}"):
        return row + 1, f"`{there}` closes a bracket that isn't open"
    if not before or before[-1] not in "\"'":
        return row + 1, _INDENTATION
    quote = before[-1]
    if before.count(quote) % 2:  # it closes what an earlier line opened
        for number in range(row - 1, -1, -1):
            if lines[number].count(quote) % 2:
                return number + 1, "a quote is opened in this line and not closed"
    if quote == "'":
        return row + 1, "the text goes on after its closing quote. An apostrophe in it: use double quotes around"
    return row + 1, "the text goes on after its closing quote. Double quotes in it: use single quotes around"


def _bad_start(
    lines: list[str], context: str, problem: str, row: int, column: int, started: yaml.Mark | None
) -> tuple[int, str]:
    if "scanning a" in context and started and "plain" not in context:  # alias, anchor, tag, block scalar
        row, column = started.line, started.column
    there = lines[row][column : column + 1]
    if there == "-" and "sequence entries" in problem:
        return row + 1, "a list may not start behind `name:`: write [a, b], or each `- item` in a line of its own"
    if there and not there.isalnum() and not there.isspace():
        return row + 1, f"a text may not start with `{there}`: {_QUOTE}"
    return row + 1, f"YAML can't read this ({problem}): {lines[row].strip()}"
