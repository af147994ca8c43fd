"""Text files are UTF-8, whatever the machine's language is set to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/slimp_pipeline"
OTHER_OPENERS = {"Image", "tarfile", "zipfile", "os", "_fs", "pa", "fsspec"}  # they open no text files


def without_encoding(code: str) -> Iterator[ast.Call]:
    """Calls that read or write text as the machine's language has it."""
    for call in ast.walk(ast.parse(code)):
        if isinstance(call, ast.Call) and _is_text(call) and "encoding" not in {given.arg for given in call.keywords}:
            yield call


def _is_text(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    options = {given.arg: given.value for given in call.keywords}
    if name in ("read_text", "write_text"):
        return len(call.args) <= (name == "write_text")  # more: the encoding without its name
    owner = getattr(call.func, "value", None)
    if name == "open" and getattr(owner, "id", getattr(owner, "attr", "")) in OTHER_OPENERS:
        return False
    if name in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile"):
        place = 0 if (owner is not None and name == "open") or name.endswith("TemporaryFile") else 1
        mode = options.get("mode") or next(iter(call.args[place:]), None)
        return name.endswith("open") if mode is None else "b" not in str(getattr(mode, "value", "b"))
    return name in ("run", "Popen", "check_output") and "text" in options


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, encoding='utf-8')", False),
        ("open(path, 'rb')", False),
        ("path.open()", True),
        ("path.open('w', newline='')", True),
        ("path.open('wb')", False),
        ("Image.open(path)", False),
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("path.write_text(text, 'utf-8')", False),
        ("NamedTemporaryFile('w')", True),
        ("NamedTemporaryFile()", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, text=True, encoding='utf-8')", False),
        ("subprocess.run(command)", False),
    ],
)
def test_a_call_without_an_encoding_is_found(code, is_found):
    assert bool(list(without_encoding(code))) == is_found


def test_every_text_file_is_opened_as_utf8():
    found = [
        f"{path.relative_to(SOURCE)}:{call.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for call in without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert not found
