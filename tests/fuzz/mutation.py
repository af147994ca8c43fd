"""Mutations of valid examples: of bytes, of text by its tokens, of trees as JSON and YAML hold them."""

import copy
import string
from collections.abc import Sequence
from random import Random
from typing import Any

_NUMBERS = [b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x00\x00", b"\xff\xff", b"\x7f\xff", b"\x00\x00\x00\x00"]
_NUMBERS += [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8, b"\x01\x00\x00\x00"]
_LETTERS = string.ascii_letters + string.digits + string.punctuation + " \t\n\r\0"
_LETTERS += "\u00a0\u00df\u0130\u0301\u200b\u202e\ufeff\ufffd\U0001f600\u0435\uff11"
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**63, 2**70, -(2**63), 0.0, -0.0, 0.5, 1e-320, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"), "", " ", "0", "-1", "1e999", "nan", "inf", "None", "null", "true", "\0",
    "..", "../..", "/etc/passwd", "a" * 300, "\u202e", "\U0001f600", "\u0661", "1,5", "1.234,5", "=1+1", "[", "(", "*",
    "${x}", "${oc.env:HOME}", "{", "%s", "http://127.0.0.1/", "'", '"', "\\", "\n", "\ud800", [], {}, [[]], [None],
    [{}], {"": None}, {"a": {"a": {}}},
]  # fmt: skip


def mutated_bytes(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to eight changes; now and then a seed as it is, or nothing but noise."""
    kind = rng.random()
    if kind < 0.02:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5, 8))):
        _change(rng, data, seeds)
    return bytes(data)


def _change(rng: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 32, 200))
    match rng.randrange(8):
        case 0 if data:
            data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        case 1:
            data[at : at + 1] = rng.randbytes(1)
        case 2:
            number = rng.choice(_NUMBERS)
            data[at : at + len(number)] = number
        case 3:
            data[at:at] = rng.randbytes(length)
        case 4:
            del data[at : at + length]
        case 5:
            data[at:at] = data[at : at + length]
        case 6:
            del data[at:]
        case _:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]


def mutated_text(rng: Random, seeds: Sequence[str], tokens: Sequence[str]) -> str:
    """One of the seeds with changes of lines, of letters, and tokens put in or in place of something."""
    lines = rng.choice(seeds).splitlines(keepends=True)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(lines)) if lines else 0
        match rng.randrange(7) if lines else 0:
            case 0:
                lines.insert(at, rng.choice(seeds[0].splitlines(keepends=True)))
            case 1:
                del lines[at]
            case 2:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case _:
                lines[at] = _changed_line(rng, lines[at], tokens)
    return "".join(lines)


def _changed_line(rng: Random, line: str, tokens: Sequence[str]) -> str:
    start = rng.randrange(len(line) + 1)
    end = min(len(line), start + rng.choice((0, 0, 1, 2, 5, 20)))
    new = rng.choice(tokens) if rng.random() < 0.6 else "".join(rng.choices(_LETTERS, k=rng.choice((0, 1, 1, 2, 6))))
    return line[:start] + new + line[end:]


def mutated_tree(rng: Random, seeds: Sequence[Any], names: Sequence[str] = ()) -> Any:
    """One of the seeds, of dictionaries and lists, with values changed, moved, renamed, doubled or taken away."""
    tree = copy.deepcopy(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5))):
        places = list(_places(tree))
        if not places or rng.random() < 0.01:
            return odd_value(rng)
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1:
                other_holder, other_key = rng.choice(places)
                holder[key] = copy.deepcopy(other_holder[other_key])
            case 2 if isinstance(holder, dict):
                holder[rng.choice([*names, "", "x", str(odd_value(rng))])] = holder.pop(key)
            case 3 if isinstance(holder, list):
                holder += [holder[key]] * rng.choice((1, 1, 30))
            case _:
                holder[key] = odd_value(rng)
    return tree


def odd_value(rng: Random) -> Any:
    """A value that a reader may not expect."""
    kind = rng.random()
    if kind < 0.1:
        return rng.randrange(-(10**6), 10**6)
    if kind < 0.2:
        return "".join(rng.choices(_LETTERS, k=rng.randrange(8)))
    return copy.deepcopy(rng.choice(ODD_VALUES))


def _places(tree: Any) -> Any:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])
